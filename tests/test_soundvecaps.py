"""Sound-VECaps: captions by YouTube id, its columns named where they differ."""

import pytest

from drcap.data.wavcaps import read_soundvecaps
from drcap.errors import DatasetError

IDS = ("b0RFKhbpFJA", "-lfs_gz1x7Y")


SUBSET = "Sound-VECaps_audio"


def make_csv(tmp_path, text):
    (tmp_path / f"{SUBSET}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def read(root, audio=False, **options):
    return read_soundvecaps(root, SUBSET, audio=audio, **options)


def error_of(*arguments, **options):
    with pytest.raises(DatasetError) as caught:
        read(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_id_may_be_written_in_any_of_its_ways(tmp_path):
    for form in ("{}", "Y{}", "{}.wav", "Y{}.flac", "audio/Y{}_30.wav", "{}_30.0_40.0"):
        rows = [f"7,{form.format(name)},A dog barks loudly" for name in IDS]
        result = read(make_csv(tmp_path, "\n".join(["index,id,caption", *rows])))
        assert [clip.youtube_id for clip in result.clips] == list(IDS)
        for clip in result.clips:
            assert clip.captions == ("A dog barks loudly",)
            assert clip.weak and clip.path is None and clip.clip_id == clip.youtube_id
            assert (clip.dataset, clip.subset) == ("soundvecaps", SUBSET)


def test_rows_of_one_id_become_its_captions_and_missing_audio_is_listed(tmp_path):
    rows = [f"{IDS[0]},A dog barks loudly", f"{IDS[1]},Rain is falling"]
    path = make_csv(tmp_path, "\n".join(["id,caption", *rows, f"Y{IDS[0]},A loud dog"]))
    (tmp_path / "audio").mkdir()
    (tmp_path / "audio" / f"Y{IDS[0]}_30000.wav").touch()
    result = read(path, audio=True)
    (clip,) = result.clips
    assert clip.captions == ("A dog barks loudly", "A loud dog")
    assert clip.path == tmp_path / "audio" / f"Y{IDS[0]}_30000.wav"
    assert result.missing == (IDS[1],)


def test_columns_may_be_named_and_what_is_amiss_is_refused(tmp_path):
    path = make_csv(tmp_path, f"a,b,caption\n{IDS[0]},{IDS[1]},A dog barks loudly")
    assert "has no column 'id'; its first line names a, b, caption" in error_of(path)
    (clip,) = read(path, id_column="b").clips
    assert clip.youtube_id == IDS[1]
    (clip,) = read(path, id_column="a", caption_column="b").clips
    assert clip.captions == (IDS[1],)
    path = make_csv(tmp_path, f"id,caption\n{IDS[0]},A dog barks loudly\n{IDS[1]},")
    assert "line 3, column 'caption' is empty" in error_of(path)
    assert "lists no clips" in error_of(make_csv(tmp_path, "id,caption"))
    assert "no such file" in error_of(tmp_path / "absent")


def test_an_id_that_a_spreadsheet_has_changed_is_refused(tmp_path):
    for name, fault in (("#NAME?", "a spreadsheet has"), ("1.2E+10", "no YouTube id")):
        path = make_csv(tmp_path, f"id,caption\n{name},A dog barks loudly")
        message = error_of(path)
        assert "line 2, column 'id' is" in message and fault in message


def test_a_copy_without_any_of_its_clips_is_refused(tmp_path):
    path = make_csv(tmp_path, f"id,caption\n{IDS[0]},A dog barks loudly")
    (tmp_path / "other.wav").touch()
    assert "holds none of the 1 clips of Sound-VECaps_audio.csv" in error_of(
        path, audio=True
    )
