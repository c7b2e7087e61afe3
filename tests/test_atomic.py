import hashlib

import pytest

from drcap import atomic


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


def test_a_file_replaces_the_old_one_only_when_it_is_complete(old_file):
    with atomic.atomic_path(old_file) as path:
        path.write_text("new")
        assert old_file.read_text() == "old"
    assert old_file.read_text() == "new"
    assert names(old_file.parent) == ["file.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_while_writing_leaves_what_was_there(old_file, error):
    for target, left in ((old_file, ["file.txt"]), (old_file.parent / "new" / "a", [])):
        with pytest.raises(error), atomic.atomic_path(target) as path:
            path.write_text("half")
            raise error
        assert names(target.parent) == left
    assert old_file.read_text() == "old"


def test_a_folder_replaces_the_old_one_with_all_it_held(old_folder):
    with atomic.atomic_folder(old_folder) as folder:
        (folder / "new.txt").write_text("new")
        assert names(old_folder) == ["old.txt"]
    assert names(old_folder) == ["new.txt"]
    assert names(old_folder.parent) == ["folder"]


def test_a_failure_while_filling_a_folder_leaves_what_was_there(old_folder):
    for target in (old_folder, old_folder.parent / "first"):
        with pytest.raises(OSError), atomic.atomic_folder(target) as folder:
            (folder / "new.txt").write_text("new")
            raise OSError("disk full")
    assert names(old_folder) == ["old.txt"]
    assert names(old_folder.parent) == ["folder"]


def test_json_is_readable_and_ends_with_a_line(tmp_path):
    path = tmp_path / "on" / "the" / "way.json"
    atomic.write_json(path, {"caption": "Une chèvre bêle"})
    expected = '{\n  "caption": "Une chèvre bêle"\n}\n'
    assert path.read_text(encoding="utf-8") == expected


def test_what_json_cannot_hold_leaves_the_old_file(old_file):
    with pytest.raises(TypeError):
        atomic.write_json(old_file, {"when": object()})
    assert old_file.read_text() == "old"


def test_a_checksum_is_that_of_the_bytes(tmp_path):
    content = bytes(range(256)) * 5000  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert atomic.sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()
