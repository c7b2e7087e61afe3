"""Files that appear whole or not at all: written aside, then renamed."""

import hashlib
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it becomes `target` on success."""
    with _aside(target) as folder:
        path = folder / Path(target).name
        yield path
        path.replace(target)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it replaces `target` on success."""
    with _aside(target) as aside:
        folder = aside / "new"
        folder.mkdir()
        yield folder
        replace_folder(folder, target)


def replace_folder(new: Path, target: Path) -> None:
    """Rename folder `new`, on the same disk, to `target`; remove what was there."""
    with _aside(target) as aside:
        if Path(target).exists():
            Path(target).rename(aside / "old")
        Path(new).rename(target)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` in UTF-8; an odd file's name in it is escaped."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(target: Path, value: object) -> None:
    """Write `value` to `target` as JSON."""
    write_text(target, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change the files of a folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    with FileLock(Path(folder) / ".lock"):
        yield


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex; reads the file in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """Yield a folder beside `target`, on the same disk, that is removed afterwards."""
    parent = Path(target).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".writing-") as aside:
        yield Path(aside)
