"""Sound-VECaps: the two columns are told by what they hold, or named."""

import pytest

from drcap.data.soundvecaps import read_soundvecaps
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


@pytest.mark.parametrize(
    "form", ("{}", "Y{}", "{}.wav", "Y{}.flac", "audio/Y{}_30.wav", "{}_30.0_40.0")
)
@pytest.mark.parametrize(
    "header, row",
    [
        ("id,caption", "{id},{text}"),
        ("index,audio_id,Caption,label", "7,{id},{text},of a dog that barks"),
        ("text,name", "{text},{id}"),
    ],
)
def test_the_columns_are_recognised_by_what_they_hold(tmp_path, form, header, row):
    rows = [row.format(id=form.format(name), text="A dog barks loudly") for name in IDS]
    result = read(make_csv(tmp_path, "\n".join([header, *rows])))
    assert [clip.youtube_id for clip in result.clips] == list(IDS)
    for clip in result.clips:
        assert clip.captions == ("A dog barks loudly",)
        assert clip.weak and clip.path is None and clip.clip_id == clip.youtube_id
        assert (clip.dataset, clip.subset) == ("soundvecaps", "Sound-VECaps_audio")


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


def test_named_columns_are_used_as_they_are(tmp_path):
    path = make_csv(tmp_path, f"a,b,caption\n{IDS[0]},{IDS[1]},A dog barks loudly")
    assert "several columns may hold the YouTube ids; give id_column" in error_of(path)
    (clip,) = read(path, id_column="b").clips
    assert clip.youtube_id == IDS[1]
    (clip,) = read(path, id_column="a", caption_column="b").clips
    assert clip.captions == (IDS[1],)
    assert "has no column 'c'" in error_of(path, id_column="c")


def test_what_cannot_be_told_or_is_empty_is_refused(tmp_path):
    path = make_csv(tmp_path, "id,caption\n17,A dog barks loudly")
    assert "no column may hold the YouTube ids; give id_column, one of id" in error_of(
        path
    )
    path = make_csv(tmp_path, f"id,caption\n{IDS[0]},dog")
    assert "no column may hold the captions; give caption_column" in error_of(path)
    path = make_csv(tmp_path, f"id,x,y\n{IDS[0]},A dog barks loudly,A cat meows once")
    assert "several columns may hold the captions" in error_of(path)
    assert "lists no clips" in error_of(make_csv(tmp_path, "id,caption"))
    assert "no such file" in error_of(tmp_path / "absent")
    path = make_csv(tmp_path, f"id,caption\n{IDS[0]},A dog barks loudly\n{IDS[1]},")
    assert "line 3, column 'caption' is empty" in error_of(
        path, id_column="id", caption_column="caption"
    )


def test_a_copy_without_any_of_its_clips_is_refused(tmp_path):
    path = make_csv(tmp_path, f"id,caption\n{IDS[0]},A dog barks loudly")
    (tmp_path / "other.wav").touch()
    assert "holds none of the 1 clips of Sound-VECaps_audio.csv" in error_of(
        path, audio=True
    )
