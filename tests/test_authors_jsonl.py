"""The authors' JSON lines are read, written and turned into clips and back."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap.authors import jsonl
from drcap.authors.jsonl import export_clips, import_clips, read_authors_jsonl
from drcap.clap.batches import encode_recordings
from drcap.data.clip import Clip, read_captions, read_prepared, write_prepared
from drcap.errors import DatasetError
from drcap.retrieval import CaptionDatastore

VIDEO = Clip(
    *("abcdefghijk_30", "audiocaps", "val", Path("/a/abc.wav"), 30.0),
    ("A dog barks", "A dog is barking"),
    youtube_id="abcdefghijk",
)
SOUND = Clip("two  rains", "clotho", "test", None, None, ("Rain falls",))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_training_has_a_line_a_caption_and_their_keys(tmp_path):
    write_prepared(tmp_path / "both.jsonl", [VIDEO, SOUND])
    assert export_clips(tmp_path / "both.jsonl", tmp_path / "a.jsonl") == 3
    pairs = zip(
        ("Yabcdefghijk_1", "Yabcdefghijk_2", "two  rains"),
        ("A dog barks", "A dog is barking", "Rain falls"),
        strict=True,
    )
    assert lines(tmp_path / "a.jsonl") == [
        {"key": key, "target": text, "text": text, "similar_captions": []}
        for key, text in pairs
    ]


def test_inference_has_a_line_a_recording_and_always_the_required_fields(tmp_path):
    write_prepared(tmp_path / "both.jsonl", [VIDEO, SOUND])
    export_clips(tmp_path / "both.jsonl", tmp_path / "a.jsonl", inference=True)
    assert lines(tmp_path / "a.jsonl") == [
        {
            "key": "Yabcdefghijk",
            "source": "/a/abc.wav",
            "target": "A dog barks",
            "similar_captions": [],
        }
    ]


def test_their_legacy_fields_are_ignored_and_captions_are_read(tmp_path):
    entry = {"key": "a", "target": "Caf\xe9\u2028noise", "prompt": 3, "source_len": 1}
    (tmp_path / "a.jsonl").write_text(json.dumps(entry) + "\n\n")
    [record] = read_authors_jsonl(tmp_path / "a.jsonl")
    assert record.model_dump(exclude_none=True) == {
        "key": "a",
        "target": entry["target"],
    }
    assert read_captions(tmp_path / "a.jsonl") == ["Caf\xe9 noise"]


@pytest.mark.parametrize(
    "line, fault",
    [
        ('{"key": "a"}', "line 2, field 'target': Field required"),
        ('{"target": "a"}', "line 2, field 'key': Field required"),
        ('{"key": "", "target": "a"}', "line 2, field 'key': String should have"),
        (
            '{"key": "a", "target": "a", "source": 7}',
            "line 2, field 'source': Input should be a valid string",
        ),
        (
            '{"key": "a", "target": "a", "similar_captions": "x"}',
            "line 2, field 'similar_captions': Input should be a valid list",
        ),
        (
            '{"key": "a", "target": "a", "similar_captions": ["x", 1]}',
            "line 2, field 'similar_captions': Input should be a valid string",
        ),
        ('{"key": "a", "target": "a"', "line 2 is not valid JSON"),
        ("[]", "line 2 is no JSON object"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, line, fault):
    path = tmp_path / "a.jsonl"
    path.write_text('{"key": "a", "target": "a"}\n' + line)
    with pytest.raises(DatasetError) as caught:
        read_authors_jsonl(path)
    assert str(caught.value).startswith(f"{path}: {fault}")


def test_a_file_that_is_empty_or_not_utf_8_is_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(DatasetError, match="holds no lines"):
        read_authors_jsonl(path)
    path.write_bytes(b'{"key": "a", "target": "caf\xe9"}')
    with pytest.raises(DatasetError, match="line 1 is not UTF-8"):
        read_authors_jsonl(path)


# whole files: `drcap data export` and `import`


@pytest.fixture
def prepared(tmp_path):
    """A prepared subset of 20 captions, three of its clips with a recording."""
    clips = []
    for number in range(10):
        path = tmp_path / f"{number}.wav" if number < 3 else None
        if path:
            noise = np.random.default_rng(number).uniform(-0.5, 0.5, 16_000)
            soundfile.write(path, noise, 16_000)
        captions = tuple(TOY_CAPTIONS[2 * number : 2 * number + 2])
        clips.append(Clip(str(number), "toy", "train", path, None, captions))
    write_prepared(tmp_path / "train.jsonl", clips)
    return tmp_path / "train.jsonl"


@pytest.fixture
def datastore(tmp_path, monkeypatch):
    """The folder of a datastore of all captions, made by the CLAP that is loaded."""
    clap = ToyCLAP()
    monkeypatch.setattr(jsonl, "load_clap", lambda name: clap)
    CaptionDatastore.build(TOY_CAPTIONS, clap, progress=False).save(tmp_path / "ds")
    return tmp_path / "ds"


def test_similar_captions_for_training_are_drawn_from_a_datastore(
    prepared, datastore, tmp_path
):
    files = [tmp_path / name for name in ("first", "again", "other")]
    for path, seed in zip(files, (1, 1, 2), strict=True):
        export_clips(prepared, path, datastore=datastore, seed=seed)
    first, again, other = map(read_authors_jsonl, files)
    assert first == again != other
    assert any(record.similar_captions for record in first)
    for record in first:
        assert set(record.similar_captions) <= set(TOY_CAPTIONS) - {record.target}


def test_similar_captions_for_inference_are_retrieved_by_the_recording(
    prepared, datastore, tmp_path
):
    export_clips(prepared, tmp_path / "a.jsonl", inference=True, datastore=datastore)
    for record in read_authors_jsonl(tmp_path / "a.jsonl"):
        audio = encode_recordings([record.source], ToyCLAP(), progress=False)
        [matches] = CaptionDatastore.load(datastore).search(audio, 3)
        assert record.similar_captions == [m.caption for m in matches]


def test_an_inference_file_of_captions_alone_is_refused(tmp_path):
    write_prepared(tmp_path / "test.jsonl", [SOUND])
    with pytest.raises(DatasetError, match="no clip has a recording"):
        export_clips(tmp_path / "test.jsonl", tmp_path / "a.jsonl", inference=True)


def test_a_file_of_the_authors_is_imported_as_a_prepared_subset(tmp_path):
    prepared, path = tmp_path / "prepared.jsonl", tmp_path / "val.jsonl"
    write_prepared(prepared, [VIDEO, SOUND])
    export_clips(prepared, path)
    empty = '{"key": "x", "target": " "}\n'
    path.write_text(path.read_text() + empty)
    assert import_clips(path, prepared) == (2, 3, 1)
    clips = read_prepared(prepared)
    assert [clip.captions for clip in clips] == [VIDEO.captions, SOUND.captions]
    assert [clip.youtube_id for clip in clips] == ["abcdefghijk", None]
    assert [clip.clip_id for clip in clips] == ["Yabcdefghijk", "two  rains"]
    assert {clip.subset for clip in clips} == {"val"}
    path.write_text(empty)
    with pytest.raises(DatasetError, match="every 'target' is empty"):
        import_clips(path, prepared)
    path.write_text('{"key": "Yabc", "source": "/a/abc.wav", "target": "A dog"}\n')
    import_clips(path, prepared, "test")
    [clip] = read_prepared(prepared)
    assert (clip.path, clip.subset) == (Path("/a/abc.wav"), "test")
