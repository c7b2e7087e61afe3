"""Files that appear whole or not at all: written aside, then renamed."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; it becomes `target` on success."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as aside:
        path = Path(aside) / target.name
        yield path
        path.replace(target)


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside `target`; it replaces `target` on success."""
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as aside:
        folder = Path(aside) / "new"
        folder.mkdir()
        yield folder
        replace_folder(folder, target)


def replace_folder(new: Path, target: Path) -> None:
    """Rename a folder, on the same disk, to `target`; what was there is removed."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".writing-") as aside:
        if target.exists():
            target.rename(Path(aside) / "old")
        new.rename(target)


def write_text(target: Path, text: str) -> None:
    """Write `text` to `target` whole or not at all."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def write_json(target: Path, value: object, indent: int | None = 2) -> None:
    """Write `value` as JSON, whole or not at all; indented unless `indent` is None."""
    write_text(target, json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex, reading it in blocks."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def copy_file(source: Path, target: Path) -> None:
    """Copy a file, whole or not at all."""
    with atomic_path(target) as path:
        shutil.copyfile(source, path)
