"""A data set is captioned clip by clip, by one process or two, and written."""

import json
from contextlib import nullcontext
from threading import Barrier, Thread

import pytest
from doubles_cli import FakeDRCap

from drcap.data.clip import Clip
from drcap.systems.predictions import (
    caption_dataset,
    write_predictions,
)


@pytest.fixture
def clips(tmp_path):
    for name in ("dog", "bad", "silent", "cat"):
        (tmp_path / f"{name}.wav").touch()
    return [
        Clip(f"{path.stem}_0", "toy", "val", path, 0.0, (f"A {path.stem} is heard",))
        for path in (tmp_path / f"{name}.wav" for name in ("dog", "bad", "silent"))
    ]


def test_a_bad_clip_is_listed_and_the_rest_is_captioned(clips):
    model = FakeDRCap()
    predictions = caption_dataset(model, clips, top_k=1, num_beams=2)
    assert model.settings == {"top_k": 1, "num_beams": 2}
    assert predictions.clips == [clips[0], clips[2]]
    assert predictions.candidates == ["A dog makes a sound", "Silence"]
    assert predictions.mult_references == [["A dog is heard"], ["A silent is heard"]]
    [failure] = predictions.failed
    assert failure.file == str(clips[1].path) and "is not audio" in failure.error
    nothing = caption_dataset(model, [])
    assert nothing.captioned == nothing.failed == []


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
    results = [None, None]

    def caption(index):
        results[index] = caption_dataset(FakeDRCap(), 3 * clips, Sharing(index))

    threads = [Thread(target=caption, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[0] == results[1] == caption_dataset(FakeDRCap(), 3 * clips)
    assert [len(given) for given in Sharing.given] == [5, 4]  # groups of two


def test_predictions_are_one_record_a_line_of_one_schema(clips, tmp_path):
    predictions = caption_dataset(FakeDRCap(), clips)
    path = tmp_path / "new" / "predictions.jsonl"
    write_predictions(path, predictions.clips, predictions.captioned)
    assert [entry.name for entry in path.parent.iterdir()] == ["predictions.jsonl"]
    lines = path.read_text(encoding="utf-8").splitlines()
    first, second = map(json.loads, lines)
    assert first == {
        "clip_id": "dog_0",
        "candidate": "A dog makes a sound",
        "similar_captions": [{"caption": "A dog calls", "similarity": 0.75}],
    }
    assert second["candidate"] == "Silence" and second["similar_captions"] == []
