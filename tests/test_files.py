import hashlib

import pytest

from drcap import files


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def old_file(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


@pytest.fixture
def old_folder(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "old.txt").write_text("old")
    return folder


def test_a_file_appears_only_when_it_is_complete(old_file):
    with files.atomic_path(old_file) as path:
        path.write_text("new")
        assert old_file.read_text() == "old"
    assert old_file.read_text() == "new"
    assert names(old_file.parent) == ["file.txt"]


def test_a_failure_while_writing_a_file_leaves_the_old_one(old_file):
    with pytest.raises(OSError, match="disk full"), files.atomic_path(old_file) as path:
        path.write_text("ne")
        raise OSError("disk full")
    assert old_file.read_text() == "old"
    assert names(old_file.parent) == ["file.txt"]


def test_a_failure_while_writing_the_first_file_leaves_none(tmp_path):
    with pytest.raises(KeyboardInterrupt), files.atomic_path(tmp_path / "a") as path:
        path.write_text("half")
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_folders_on_the_way_are_made(tmp_path):
    files.write_text(tmp_path / "a" / "b" / "c.txt", "text")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "text"


def test_a_folder_replaces_the_old_one_with_all_it_held(old_folder):
    with files.atomic_folder(old_folder) as folder:
        (folder / "new.txt").write_text("new")
        assert names(old_folder) == ["old.txt"]
    assert names(old_folder) == ["new.txt"]
    assert names(old_folder.parent) == ["folder"]


def test_a_failure_while_filling_a_folder_leaves_the_old_one(old_folder):
    with pytest.raises(OSError), files.atomic_folder(old_folder) as folder:
        (folder / "new.txt").write_text("new")
        raise OSError("disk full")
    assert names(old_folder) == ["old.txt"]
    assert names(old_folder.parent) == ["folder"]


def test_a_failure_while_filling_the_first_folder_leaves_none(tmp_path):
    with pytest.raises(OSError), files.atomic_folder(tmp_path / "folder"):
        raise OSError("disk full")
    assert names(tmp_path) == []


def test_json_is_readable_and_ends_with_a_line(tmp_path):
    files.write_json(tmp_path / "a.json", {"caption": "Une chèvre bêle"})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert text == '{\n  "caption": "Une chèvre bêle"\n}\n'


def test_what_json_cannot_hold_leaves_the_old_file(old_file):
    with pytest.raises(TypeError):
        files.write_json(old_file, {"when": object()})
    assert old_file.read_text() == "old"


def test_a_checksum_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert files.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_copy_from_a_missing_file_leaves_the_old_one(old_file, tmp_path):
    with pytest.raises(FileNotFoundError):
        files.copy_file(tmp_path / "absent", old_file)
    assert old_file.read_text() == "old"
