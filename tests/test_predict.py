import json
from contextlib import nullcontext
from threading import Barrier, Thread

import pytest
from doubles_pipeline import FakeDRCap

from drcap.data.captions import Clip
from drcap.evaluation.predict import caption_clips, write_predictions


@pytest.fixture
def clips(tmp_path):
    found = []
    for name in ("dog", "bad", "cat"):
        path = tmp_path / f"{name}.wav"
        path.touch()
        captions = (f"A {name} is heard", f"The sound of a {name}")
        found.append(Clip(f"{name}_0", "toy", "val", path, 0.0, captions))
    return found


def test_a_record_holds_the_caption_its_references_and_what_was_retrieved(clips):
    first = caption_clips(FakeDRCap(), clips).captioned[0]
    assert first == {
        "clip_id": "dog_0",
        "file": str(clips[0].path),
        "candidate": "A dog makes a sound",
        "mult_references": ["A dog is heard", "The sound of a dog"],
        "similar_captions": [{"caption": "A dog calls", "similarity": 0.75}],
        "seconds": 0.25,
    }


def test_a_bad_clip_is_listed_and_the_rest_is_captioned(clips):
    predictions = caption_clips(FakeDRCap(), clips)
    assert predictions.candidates == ["A dog makes a sound", "A cat makes a sound"]
    assert [references[0] for references in predictions.mult_references] == [
        "A dog is heard",
        "A cat is heard",
    ]
    [failure] = predictions.failed
    assert failure["clip_id"] == "bad_0"
    assert failure["file"] == str(clips[1].path)
    assert "is not audio" in failure["error"]


def test_a_warning_is_kept_in_the_record(clips, tmp_path):
    path = tmp_path / "silent.wav"
    path.touch()
    clip = Clip("silent_0", "toy", "val", path, 0.0, ("Nothing is heard",))
    [record] = caption_clips(FakeDRCap(), [clip]).captioned
    assert record["candidate"] == "Silence"
    assert record["warning"].endswith("silent.wav: silent")


def test_settings_reach_the_captioner(clips):
    model = FakeDRCap()
    caption_clips(model, clips, top_k=1, num_beams=2)
    assert model.settings == {"top_k": 1, "num_beams": 2}


def test_no_clips_give_no_predictions():
    predictions = caption_clips(FakeDRCap(), [])
    assert predictions.captioned == predictions.failed == []


class Sharing:
    """One of two processes, here threads that gather what both give."""

    count = 2
    given = [None, None]
    both = Barrier(2)

    def __init__(self, index):
        self.index, self.main = index, index == 0

    def main_first(self):
        return nullcontext()

    def gather(self, items):
        self.given[self.index] = items
        self.both.wait(timeout=10)
        return [*self.given[0], *self.given[1]]


def test_processes_share_the_clips_and_each_gets_all_predictions(clips):
    models, found = [FakeDRCap(), FakeDRCap()], [None, None]

    def caption(index):
        found[index] = caption_clips(models[index], 3 * clips, Sharing(index))

    threads = [Thread(target=caption, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found[0] == found[1] == caption_clips(FakeDRCap(), 3 * clips)
    assert [len(model.heard) for model in models] == [5, 4]  # groups of two


def test_predictions_are_written_one_object_a_line(clips, tmp_path):
    predictions = caption_clips(FakeDRCap(), clips)
    path = tmp_path / "new" / "predictions.jsonl"
    write_predictions(path, predictions)
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == predictions.captioned
    assert [entry.name for entry in path.parent.iterdir()] == ["predictions.jsonl"]
