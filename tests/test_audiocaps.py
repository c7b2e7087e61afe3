"""AudioCaps is read from its own CSV and any folder of clips; gaps are reported."""

import unicodedata

import pytest

from drcap.data.audiocaps import read_audiocaps
from drcap.data.clip import Clip
from drcap.errors import AudioError, DatasetError

HEADER = "audiocap_id,youtube_id,start_time,caption"


def make_tree(root, rows, recordings, csv="val.csv"):
    """Write a copy of AudioCaps: its CSV, and empty files where clips would be."""
    lines = [HEADER, *(f"{number},{row}" for number, row in enumerate(rows))]
    for name, text in {csv: "\n".join(lines), **dict.fromkeys(recordings, "")}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def error_of(root, subset="val"):
    with pytest.raises(DatasetError) as caught:
        read_audiocaps(root, subset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rows_of_one_clip_become_its_captions(tmp_path):
    rows = ["abc,30,A dog barks", 'xyz,0,"Wind, then rain"', "abc,30,A dog is barking"]
    make_tree(tmp_path, rows, ["audio/abc_30.flac", "audio/xyz_0.wav"])
    captions = ("A dog barks", "A dog is barking")
    path = tmp_path / "audio/abc_30.flac"
    result = read_audiocaps(tmp_path, "val")
    assert result.clips[0] == Clip(
        *("abc_30", "audiocaps", "val", path, 30.0, captions), youtube_id="abc"
    )
    assert result.clips[1].captions == ("Wind, then rain",)
    assert result.missing == ()


def test_a_clip_is_found_by_any_of_its_names(tmp_path):
    stems = ("{0}_30", "Y{0}_30", "{0}_30000", "Y{0}_30000", "{0}", "Y{0}")
    with_end = ("{0}_30.000_40.000", "Y{0}_30_40", "{0}_30.0", "{0}_30000_40000")
    for youtube_id in (
        "-dash_and_",
        "_a-b_c",
        "plain",
        "Y12",
        "-a_b-c_d-e1",
        "Y1234567_89",
    ):
        for stem in stems + with_end * (len(youtube_id) == 11):
            name = f"some/where/{stem.format(youtube_id)}.MP3"
            root = tmp_path / youtube_id / stem
            make_tree(root, [f"{youtube_id},30,A dog barks"], [name])
            result = read_audiocaps(root, "val")
            (clip,) = result.clips
            assert clip.path == root / name and clip.clip_id == f"{youtube_id}_30"


def test_clips_of_one_video_are_told_apart_by_their_start(tmp_path):
    video = "_ends-on_12"  # what looks like a start may be a part of the id
    rows = [f"{video},{start},A dog" for start in (0, 30, 40.5)]
    names = [
        f"{video}_0_10.wav",
        f"{video}_30.000_40.000.wav",
        f"{video}_40.5_50.5.wav",
    ]
    result = read_audiocaps(make_tree(tmp_path, rows, [*names, "other.wav"]), "val")
    assert [clip.path.name for clip in result.clips] == names


def test_both_normal_forms_of_a_folder_and_a_name_match(tmp_path):
    name = unicodedata.normalize("NFD", "caf\xe9/abc_0.wav")
    (clip,) = read_audiocaps(make_tree(tmp_path, ["abc,0,A dog"], [name]), "val").clips
    assert clip.path == tmp_path / name


def test_missing_clips_are_listed_in_the_order_of_the_csv(tmp_path):
    rows = [f"{name},10,A sound" for name in ("zz", "here", "aa", "zz")]
    result = read_audiocaps(make_tree(tmp_path, rows, ["here_10.wav"]), "val")
    assert [clip.clip_id for clip in result.clips] == ["here_10"]
    assert result.missing == ("zz_10", "aa_10")


def test_a_bare_name_is_not_given_to_two_clips_of_one_video(tmp_path):
    rows = ["abc,10,A dog", "abc,20,A cat"]
    result = read_audiocaps(make_tree(tmp_path, rows, ["abc.wav", "abc_20.wav"]), "val")
    assert [clip.clip_id for clip in result.clips] == ["abc_20"]
    assert result.missing == ("abc_10",)


def test_a_clip_is_not_found_under_another_clips_name(tmp_path):
    rows = ["abc,30,A dog", "abc_3,0,A cat"]
    recordings = ["abc_3.wav", "xabc_30.wav", "abc_300.wav"]
    result = read_audiocaps(make_tree(tmp_path, rows, recordings), "val")
    assert [clip.clip_id for clip in result.clips] == ["abc_3_0"]


def test_the_captions_are_found_under_their_usual_names(tmp_path):
    for subset, csv in (
        ("val", "val.csv"),
        ("val", "dataset/val.csv"),
        ("val", "validation.csv"),
        ("validation", "val.csv"),
        ("train", "train_v2.csv"),
        ("train", "dataset/train_v2.csv"),
    ):
        root = tmp_path / subset / csv
        make_tree(root, ["abc,0,A dog"], ["abc_0.wav"], csv)
        (clip,) = read_audiocaps(root, subset).clips
        assert clip.subset == subset


@pytest.mark.parametrize(
    "row, fault",
    [
        ("abc,soon,A dog", "line 3, column 'start_time' is 'soon', expected seconds"),
        ("abc,-1,A dog", "line 3, column 'start_time' is '-1'"),
        ("abc,nan,A dog", "line 3, column 'start_time' is 'nan'"),
        ("abc,0,", "line 3, column 'caption' is empty"),
        (
            "#NAME?,0,A dog",
            "line 3, column 'youtube_id' is '#NAME?': a spreadsheet",
        ),
        ("1.2E+10,0,A dog", "column 'youtube_id' is '1.2E+10', which is no YouTube id"),
        (",0,A dog", "line 3, column 'youtube_id' is empty"),
        ("abc,0", "line 3 has 3 columns, expected 4"),
        ("abc,0,A dog, barking", "line 3 has 5 columns, expected 4"),
    ],
)
def test_a_malformed_row_is_refused_and_its_place_named(tmp_path, row, fault):
    make_tree(tmp_path, ["abc,0,A dog", row], ["abc_0.wav"])
    message = error_of(tmp_path)
    assert message.startswith(f"{tmp_path / 'val.csv'}: ") and fault in message


def test_a_csv_without_its_columns_or_rows_is_refused(tmp_path):
    make_tree(tmp_path, [], ["abc_0.wav"])
    assert "lists no clips" in error_of(tmp_path)
    (tmp_path / "val.csv").write_text("file,caption\nabc.wav,A dog\n")
    assert "no column 'audiocap_id'" in error_of(tmp_path)


def test_a_folder_without_the_subset_names_what_was_looked_for(tmp_path):
    make_tree(tmp_path, ["abc,0,A dog"], ["abc_0.wav"])
    assert "subset 'test'; expected test.csv or test_v2.csv" in error_of(
        tmp_path, "test"
    )
    assert "has no captions of subset" in error_of(tmp_path / "absent")


def test_a_copy_without_any_of_its_clips_is_refused(tmp_path):
    make_tree(tmp_path, ["abc,0,A dog", "xyz,0,A cat"], ["other.wav"])
    assert "holds none of the 2 clips of val.csv" in error_of(tmp_path)
    (tmp_path / "other.wav").unlink()
    with pytest.raises(AudioError, match="holds no recordings"):
        read_audiocaps(tmp_path, "val")
