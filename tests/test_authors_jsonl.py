"""The authors' JSON lines are read, written and turned into clips and back."""

import json
from pathlib import Path

import pytest

from drcap.data.authors_jsonl import (
    AuthorsRecord,
    inference_records,
    read_authors_jsonl,
    to_clips,
    training_records,
    write_authors_jsonl,
)
from drcap.data.captions import Clip, read_captions
from drcap.errors import DatasetError

VIDEO = Clip(
    *("abcdefghijk_30", "audiocaps", "val", Path("/a/abc.wav"), 30.0),
    ("A dog barks", "A dog is barking"),
    youtube_id="abcdefghijk",
)
SOUND = Clip("two  rains", "clotho", "test", None, None, ("Rain falls",))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_training_has_a_line_a_caption_and_their_keys(tmp_path):
    records = training_records([VIDEO, SOUND], [["A cat"], [], ["Wind", "Hail"]])
    assert write_authors_jsonl(tmp_path / "a.jsonl", records) == 3
    assert lines(tmp_path / "a.jsonl") == [
        {
            "key": "Yabcdefghijk_1",
            "target": "A dog barks",
            "text": "A dog barks",
            "similar_captions": ["A cat"],
        },
        {
            "key": "Yabcdefghijk_2",
            "target": "A dog is barking",
            "text": "A dog is barking",
            "similar_captions": [],
        },
        {
            "key": "two  rains",
            "target": "Rain falls",
            "text": "Rain falls",
            "similar_captions": ["Wind", "Hail"],
        },
    ]


def test_inference_has_a_line_a_recording_and_always_the_required_fields(tmp_path):
    write_authors_jsonl(tmp_path / "a.jsonl", inference_records([VIDEO, SOUND]))
    assert lines(tmp_path / "a.jsonl") == [
        {
            "key": "Yabcdefghijk",
            "source": "/a/abc.wav",
            "target": "A dog barks",
            "similar_captions": [],
        }
    ]


def test_what_was_written_is_read_again(tmp_path):
    records = [
        AuthorsRecord("a", "Caf\xe9 noise", "/a.wav", "Caf\xe9", ("x", "y")),
        AuthorsRecord("b", "", "/b.wav", None, ()),
        AuthorsRecord("c", "Rain\u2028falls"),
    ]
    write_authors_jsonl(tmp_path / "a.jsonl", records)
    assert read_authors_jsonl(tmp_path / "a.jsonl") == records


def test_their_legacy_fields_are_ignored_and_captions_are_read(tmp_path):
    entry = {"key": "a", "target": "A dog", "prompt": 3, "source_len": 1}
    (tmp_path / "a.jsonl").write_text(json.dumps(entry) + "\n\n")
    assert read_authors_jsonl(tmp_path / "a.jsonl") == [AuthorsRecord("a", "A dog")]
    assert read_captions(tmp_path / "a.jsonl") == ["A dog"]


def test_lines_of_one_clip_become_one_and_empty_targets_are_left_out():
    clips = to_clips([*training_records([VIDEO, SOUND]), AuthorsRecord("x", " ")], "s")
    assert [clip.captions for clip in clips] == [VIDEO.captions, SOUND.captions]
    assert [clip.youtube_id for clip in clips] == ["abcdefghijk", None]
    assert [clip.clip_id for clip in clips] == ["Yabcdefghijk", "two  rains"]
    (clip,) = to_clips(inference_records([VIDEO]), "test")
    assert (clip.path, clip.subset) == (Path("/a/abc.wav"), "test")


@pytest.mark.parametrize(
    "line, fault",
    [
        ('{"key": "a"}', "line 2, field 'target' is no text"),
        ('{"target": "a"}', "line 2, field 'key' is no text"),
        ('{"key": "", "target": "a"}', "line 2, field 'key' is empty"),
        ('{"key": "a", "target": "a", "source": 7}', "line 2, field 'source' is"),
        (
            '{"key": "a", "target": "a", "similar_captions": "x"}',
            "line 2, field 'similar_captions' is no list of texts",
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
