"""Split archives are read part by part; nothing leaves the folder, damage is named."""

import hashlib
import zipfile

import pytest
from doubles_datasets import (
    VIDEOS,
    make_wavcaps,
    needs_zip,
    write_sound,
    zip_recordings,
)

from drcap.data.prepare import Options, prepare
from drcap.data.split_zip import LOCATOR, extract_recordings
from drcap.errors import DatasetError


def extract(archive, folder):
    return extract_recordings(archive, folder, progress=False)


@pytest.fixture
def archive(tmp_path):
    """Return a split archive of six recordings."""
    make_wavcaps(tmp_path)
    path = tmp_path / "Zip_files/AudioSet_SL/AudioSet_SL.zip"
    assert len(list(path.parent.iterdir())) > 2  # parts
    return path


def test_recordings_come_out_as_they_went_in(tmp_path, archive):
    assert extract(archive, tmp_path / "flac") == []
    found = sorted(path.name for path in (tmp_path / "flac").iterdir())
    assert found == sorted(f"Y{video}.flac" for video in VIDEOS[:6])
    for number, video in enumerate(VIDEOS[:6]):
        same = write_sound(tmp_path / "same.flac", seconds=1.5, seed=number)
        there = tmp_path / f"flac/Y{video}.flac"
        assert there.read_bytes() == same.read_bytes()


def test_the_64_bit_form_of_large_archives_is_read(tmp_path):
    needs_zip()
    ids = [str(number) for number in range(6)]
    zip_recordings(tmp_path, "FreeSound", ids, split=True, wide=True)
    archive = tmp_path / "Zip_files/FreeSound/FreeSound.zip"
    assert LOCATOR in archive.read_bytes()
    assert extract(archive, tmp_path / "flac") == []
    for number in range(6):
        same = write_sound(tmp_path / "same.flac", seconds=1.5, seed=number)
        assert (tmp_path / f"flac/{number}.flac").read_bytes() == same.read_bytes()


def test_what_is_there_in_full_is_not_written_again(tmp_path, archive):
    extract(archive, tmp_path / "flac")
    first, second = sorted((tmp_path / "flac").iterdir())[:2]
    before = first.stat().st_mtime_ns
    second.write_bytes(b"cut short")
    assert extract(archive, tmp_path / "flac") == []
    assert first.stat().st_mtime_ns == before
    assert second.stat().st_size > 1000


def test_a_missing_part_is_named(tmp_path, archive):
    archive.with_suffix(".z01").unlink()
    with pytest.raises(DatasetError, match=r"AudioSet_SL\.z01: no such file, one of"):
        extract(archive, tmp_path / "flac")


def test_a_truncated_part_costs_its_recordings_only(tmp_path, archive):
    part = archive.with_suffix(".z02")
    part.write_bytes(part.read_bytes()[:-5000])
    problems = extract(archive, tmp_path / "flac")
    assert 1 <= len(problems) <= 3
    assert all("is damaged" in problem for problem in problems)
    assert len(list((tmp_path / "flac").iterdir())) == 6 - len(problems)


@pytest.mark.parametrize("kept", (0, 10, 200))
def test_a_truncated_last_part_is_refused(tmp_path, archive, kept):
    archive.write_bytes(archive.read_bytes()[:kept])
    with pytest.raises(DatasetError, match="cut short or no zip archive"):
        extract(archive, tmp_path / "flac")


@pytest.mark.parametrize(
    "name", ("../out.flac", "/tmp/out.flac", "a/../../out.flac", "..\\out.flac")
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path, name):
    sound = write_sound(tmp_path / "in.flac")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.write(sound, "deep/good.flac")
        opened.writestr(name, b"evil")
        link = zipfile.ZipInfo("link.flac")
        link.external_attr = 0o120777 << 16
        opened.writestr(link, "/etc/passwd")
        opened.writestr("other/good.flac", b"second")
        opened.writestr("readme.txt", b"text")
    problems = extract(tmp_path / "x.zip", tmp_path / "a/b/flac")
    assert [problem.split("' ")[1] for problem in problems] == [
        "leads out of its folder and was refused",
        "is a link and was refused",
        "has the name of another recording of the archive and was left",
        "is no recording and was left",
    ]
    (only,) = (path for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert only == tmp_path / "a/b/flac/good.flac"
    digests = {hashlib.sha256(path.read_bytes()).digest() for path in (only, sound)}
    assert len(digests) == 1


def test_wavcaps_is_prepared_in_spite_of_a_damaged_archive(tmp_path, archive):
    part = archive.with_suffix(".z02")
    part.write_bytes(part.read_bytes()[:-5000])
    result = prepare("wavcaps", tmp_path, tmp_path / "out", Options(progress=False))
    lost = len(result.problems)
    assert lost and result.subsets[0].missing == lost
    assert [each.missing for each in result.subsets[1:]] == [0, 0, 0]


def test_an_archive_of_one_part_is_read_too(tmp_path):
    make_wavcaps(tmp_path, split=False)
    zip_recordings(tmp_path / "again", "FreeSound", ["1", "2"], split=False)
    path = tmp_path / "again/Zip_files/FreeSound/FreeSound.zip"
    assert extract(path, tmp_path / "flac") == []
    assert len(list((tmp_path / "flac").iterdir())) == 2
