"""Each dataset in its official layout, whole and damaged, becomes a prepared folder."""

import json
import os
from pathlib import Path

import pytest
from doubles_datasets import (
    CLOTHO_HEADER,
    MAKERS,
    VIDEOS,
    make_audiocaps,
    make_clotho,
    make_soundvecaps,
    make_wavcaps,
    needs_recordings,
    write_sound,
)

from drcap import audio
from drcap.data.clip import read_captions, read_prepared, write_prepared
from drcap.data.clotho import read_clotho
from drcap.data.prepare import prepare, subset_names
from drcap.data.sources import SOURCES, source_of
from drcap.errors import DatasetAbsentError, DatasetError


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path_factory.mktemp("home")))


def run(name, root, **options):
    return prepare(name, root, root / "out", **options)


def error_of(name, root, **options):
    with pytest.raises(DatasetError) as caught:
        run(name, root, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def counts(result):
    return [
        (each.clips, each.captions, each.recordings, each.missing, each.unreadable)
        for each in result.subsets
    ]


# whole datasets

WHOLE = {
    "audiocaps": [(12, 12, 12, 0, 0), (2, 10, 2, 0, 0), (2, 10, 2, 0, 0)],
    "clotho": [(2, 10, 2, 0, 0)] * 3,
    "wavcaps": [(6, 6, 6, 0, 0)] * 4,
    "soundvecaps": [(12, 12, 12, 0, 0)],
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_whole_dataset_is_prepared_and_counted(tmp_path, name):
    result = run(name, MAKERS[name](tmp_path))
    assert counts(result) == WHOLE[name] and result.problems == ()
    for each in result.subsets:
        clips = [
            c for c in read_prepared(result.folder / f"{each.subset}.jsonl") if c.path
        ]
        assert len(clips) == each.clips
        assert all(clip.path.is_file() and clip.duration for clip in clips)
        assert (result.folder / f"{each.subset}.missing.txt").read_text() == ""
    report = json.loads((result.folder / "report.json").read_text())
    assert report["subsets"][0]["clips"] == WHOLE[name][0][0]
    assert report["licence"] == SOURCES[name].licence


@pytest.mark.parametrize(
    "name, folder", [("audiocaps", "AUDIOCAPS"), ("clotho", "CLOTHO_v2.1")]
)
def test_the_layout_of_aac_datasets_is_found(tmp_path, name, folder):
    if name == "audiocaps":
        make_audiocaps(tmp_path / folder, "csv_files_v1")
    else:
        make_clotho(tmp_path / folder)
    assert counts(run(name, tmp_path)) == WHOLE[name]


def test_two_versions_of_audiocaps_are_kept_apart(tmp_path):
    make_audiocaps(tmp_path, "dataset")
    make_audiocaps(tmp_path, "dataset2.0")
    path = tmp_path / "dataset2.0/train.csv"
    path.write_text(path.read_text() + f"99,{VIDEOS[0]},30,One more caption here\n")
    train_rows = [
        run("audiocaps", tmp_path, version=v).subsets[0] for v in ("v1", "v2")
    ]
    assert [each.captions for each in train_rows] == [12, 13]
    assert run("audiocaps", tmp_path).subsets[0].captions == 12
    assert "unknown 'v3'" in error_of("audiocaps", tmp_path, version="v3")


def test_captions_alone_need_no_recording(tmp_path):
    make_audiocaps(tmp_path)
    for path in tmp_path.rglob("*.wav"):
        path.unlink()
    assert "holds no recordings" in error_of("audiocaps", tmp_path)
    assert "--captions-only" in error_of("audiocaps", tmp_path)
    result = run("audiocaps", tmp_path, audio=False)
    assert counts(result)[0] == (12, 12, None, None, None)
    assert len(read_captions(result.folder / "train.jsonl")) == 12


def test_a_clip_gets_the_length_that_was_decoded(tmp_path):
    folder = run("soundvecaps", make_soundvecaps(tmp_path)).folder
    clips = read_prepared(folder / "Sound-VECaps_audio.jsonl")
    assert [clip.duration for clip in clips] == [0.2] * 12


# what is amiss with recordings is counted, the rest completes


def test_missing_clips_are_listed_and_keep_their_captions(tmp_path):
    make_audiocaps(tmp_path)
    for video in VIDEOS[:2]:
        (tmp_path / f"audio/train/Y{video}.wav").unlink()
    result = run("audiocaps", tmp_path)
    assert counts(result)[0] == (12, 12, 10, 2, 0) and result.problems == ()
    listed = (result.folder / "train.missing.txt").read_text().split()
    assert listed == [f"{video}_30" for video in VIDEOS[:2]]
    path = result.folder / "train.jsonl"
    assert len(read_prepared(path)) == 12
    assert sum(bool(clip.path) for clip in read_prepared(path)) == 10


def test_a_subset_without_any_audio_does_not_stop_the_others(tmp_path):
    make_clotho(tmp_path)
    for path in (tmp_path / "clotho_audio_files/development").iterdir():
        path.unlink()
    assert [each.missing for each in run("clotho", tmp_path).subsets] == [2, 0, 0]


@pytest.mark.parametrize("content", (b"", b"no sound at all"))
def test_an_unreadable_recording_is_reported_and_the_rest_completes(tmp_path, content):
    make_clotho(tmp_path)
    bad = tmp_path / "clotho_audio_files/validation/rain validation.wav"
    bad.write_bytes(content)
    result = run("clotho", tmp_path)
    assert [each.unreadable for each in result.subsets] == [0, 1, 0]
    (problem,) = result.problems
    assert problem.startswith(f"{bad}: ")
    assert "rain validation\t" in (
        result.folder / "validation.unreadable.txt"
    ).read_text(encoding="utf-8")
    clips = read_prepared(result.folder / "validation.jsonl")
    assert [clip.path is None for clip in clips] == [False, True]


def test_a_second_run_decodes_only_what_is_new_or_changed(tmp_path, monkeypatch):
    decoded = []
    measure = audio.measure
    monkeypatch.setattr(
        audio, "measure", lambda path: decoded.append(path) or measure(path)
    )
    make_soundvecaps(tmp_path)
    bad = tmp_path / f"audio/{VIDEOS[0]}.flac"
    bad.write_bytes(b"no sound")
    first = run("soundvecaps", tmp_path)
    assert len(decoded) == 12
    changed = write_sound(tmp_path / f"audio/{VIDEOS[3]}.flac", seconds=0.4)
    os.utime(changed, ns=(1, 1))
    assert counts(run("soundvecaps", tmp_path)) == counts(first)
    assert sorted(decoded[12:]) == sorted([bad, changed])  # ffmpeg may be there now


def test_recordings_of_no_row_are_listed_and_noted(tmp_path, caplog):
    make_audiocaps(tmp_path)
    for name in ("other.wav", "new/one more.flac"):
        write_sound(tmp_path / name)
    result = run("audiocaps", tmp_path)
    assert "2 recordings match no row" in caplog.text
    listed = (result.folder / "unmatched.txt").read_text().splitlines()
    assert listed == [str(tmp_path / "new/one more.flac"), str(tmp_path / "other.wav")]
    caplog.clear()
    run("audiocaps", tmp_path, subsets=("val",))
    assert not caplog.records  # whose the others are is not known


def test_a_folder_whose_name_is_not_utf_8_is_prepared(tmp_path):
    make_audiocaps(tmp_path)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    (tmp_path / "audio").rename(odd)
    (odd / f"train/Y{VIDEOS[0]}.wav").write_bytes(b"no sound")
    (odd / "other.wav").write_bytes(b"no sound")
    result = run("audiocaps", tmp_path)
    assert [subset.unreadable for subset in result.subsets] == [1, 0, 0]
    assert result.problems[0].isprintable()
    clips = [c for c in read_prepared(result.folder / "train.jsonl") if c.path]
    assert len(clips) == 11 and all(clip.path.is_file() for clip in clips)


# malformed annotation files are refused, their place named


def test_a_malformed_row_stops_before_anything_is_written(tmp_path):
    path = make_audiocaps(tmp_path) / "dataset/train.csv"
    path.write_bytes(path.read_bytes() + "77,abc,30,caf\xe9".encode("latin-1"))
    assert error_of("audiocaps", tmp_path).startswith(f"{path}: line 14 is not UTF-8")
    assert not (tmp_path / "out").exists()


def test_a_wrong_column_of_clotho_is_named(tmp_path):
    path = make_clotho(tmp_path) / "clotho_csv_files/clotho_captions_validation.csv"
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("caption_3", "caption_x"), encoding="utf-8")
    assert "has no column 'caption_3'" in error_of("clotho", tmp_path)


def test_a_malformed_wavcaps_file_is_named_and_repeated_clips_are_counted(tmp_path):
    make_wavcaps(tmp_path)
    path = tmp_path / "json_files/FreeSound/fsd_final.json"
    content = json.loads(path.read_text())
    content["data"].append(content["data"][0])
    path.write_text(json.dumps(content))
    result = run("wavcaps", tmp_path)
    assert [each.repeated for each in result.subsets] == [0, 0, 1, 0]
    assert [each.clips for each in result.subsets] == [6, 6, 6, 6]
    content["data"][2]["caption"] = None
    path.write_text(json.dumps(content))
    assert f"{path}: entry 3 (id 102) has no text" in error_of("wavcaps", tmp_path)


# what is not there


@pytest.mark.parametrize("name", MAKERS)
def test_an_absent_dataset_is_told_from_a_malformed_one(tmp_path, name):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetAbsentError, match=str(tmp_path)):
            run(name, root)


def test_absent_subsets_are_noted_unless_they_were_asked_for(tmp_path):
    make_audiocaps(tmp_path)
    (tmp_path / "dataset/test.csv").unlink()
    assert run("audiocaps", tmp_path).absent == ("test",)
    assert counts(run("audiocaps", tmp_path, subsets=("validation",))) == [
        (2, 10, 2, 0, 0)
    ]
    with pytest.raises(DatasetAbsentError, match="no captions of subset 'test'"):
        run("audiocaps", tmp_path, subsets=("test",))


def test_an_unknown_dataset_or_subset_lists_the_known_ones(tmp_path):
    assert "choose one of audiocaps, clotho, wavcaps" in error_of("esc50", tmp_path)
    assert "unknown 'dev'; choose one of development" in error_of(
        "clotho", tmp_path, subsets=("dev",)
    )
    assert subset_names("clotho", ["test", "evaluation"]) == ["evaluation"]


def test_the_published_counts_are_known():
    audiocaps, clotho = source_of("audiocaps"), source_of("clotho")
    assert audiocaps.verdict("train", 49_838) == "v1"
    assert audiocaps.verdict("train", 91_256) == "v2"
    assert audiocaps.verdict("val", 7).startswith("expected 2,475 (v1 and v2) or")
    counts = [sum(each.values()) for each in clotho.expected.values()]
    assert counts == [3839, 1045, 1045]
    wavcaps = source_of("wavcaps").expected.values()
    assert sum(each["published"] for each in wavcaps) == 403_050


# the prepared file


def test_prepared_clips_are_read_as_they_were_written(tmp_path):
    clips = read_clotho(make_clotho(tmp_path), "development").clips
    write_prepared(tmp_path / "a.jsonl", clips)
    assert read_prepared(tmp_path / "a.jsonl") == clips


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"captions": []}, "field 'captions' is empty"),
        ({"captions": ["a", 3]}, "field 'captions': Input should be a valid string"),
        ({"clip_id": None}, "field 'clip_id': Input should be a valid string"),
        ({"duration": "long"}, "field 'duration': Input should be a valid number"),
        ({"path": 3}, "field 'path': Input is not a valid path"),
        ({"other": 3}, "field 'other': Unexpected keyword argument"),
        ({}, "lists 'a' a second time"),
    ],
)
def test_a_malformed_line_of_a_prepared_file_is_named(tmp_path, change, fault):
    good = {"clip_id": "a", "dataset": "d", "subset": "s", "captions": ["A dog"]}
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(good)}\n\n{json.dumps(good | change)}\n")
    with pytest.raises(DatasetError) as caught:
        read_prepared(path)
    assert str(caught.value).startswith(f"{path}: line 3") and fault in str(
        caught.value
    )


# real captions, where they are


def test_the_real_captions_of_clotho_are_prepared(tmp_path):
    real = needs_recordings("clotho/clotho_captions_development.csv")
    (tmp_path / real.name).symlink_to(real)
    (found,) = run("clotho", tmp_path, audio=False).subsets
    assert real.read_text(encoding="utf-8").startswith(CLOTHO_HEADER)
    assert (found.clips, found.captions) == (3839, 19_195)
    assert found.published == "v2.1" and found.repeated == 0


def test_the_real_captions_of_audiocaps_are_prepared_with_their_audio(tmp_path):
    real = needs_recordings("audiocaps/val.csv")
    output = tmp_path / "out"
    (found,) = prepare("audiocaps", real.parent, output).subsets
    assert (found.clips, found.captions, found.missing) == (43, 215, 0)
    assert found.recordings == 43 and found.unreadable == 0
    clips = [c for c in read_prepared(output / "val.jsonl") if c.path]
    assert all(9 < clip.duration < 11 and len(clip.captions) == 5 for clip in clips)
