"""Values and folders that are computed once and kept in the cache folder.

An entry is named by a digest of all that it depends on: other inputs, another entry. It
is written aside and then renamed, so that a kill leaves no half of one.
"""

import functools
import hashlib
import json
import logging
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from drcap import paths
from drcap.atomic import atomic_folder, atomic_path

UNNAMED = "arr_0"  # numpy's name for an array that is saved without one


def digest(content: object) -> str:
    """Return 16 hex digits of the SHA-256 of `content` as JSON.

    content : JSON values; dataclasses, paths and sets among them are taken, too
    Raises TypeError for anything else.
    """
    text = json.dumps(content, sort_keys=True, default=plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keep(kind: str, key: object, make: Callable[[], Any]) -> Any:
    """Return `make()`, computed once and kept below `paths.home() / kind`.

    kind : a folder's name; "a/b" is a folder in a folder
    key : all that the value depends on, as for `digest`
    make : returns a JSON value other than None, a numpy array, or a dict of arrays

    A damaged entry is computed anew. Where the cache folder cannot be written, one
    warning says so, and the value is returned all the same.
    """
    entry = paths.home() / kind / digest(key)
    if (value := _read(entry)) is not None:
        return value
    value = make()
    try:
        return _write(entry, value)
    except OSError as error:
        _warn(str(error))
        return value


def keep_folder(kind: str, key: object, write: Callable[[Path], object]) -> Path:
    """Return a folder that `write` filled once, kept below `paths.home() / kind`.

    write : gets an empty folder to fill; it is placed whole when `write` returns

    Processes that want the same folder wait for the one that writes it. Where the cache
    folder cannot be written, the folder lasts as long as this process.
    """
    folder = paths.home() / kind / digest(key)
    with ExitStack() as stack:
        if not folder.exists():
            try:
                folder.parent.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FileLock(folder.with_suffix(".lock")))
            except OSError as error:
                _warn(str(error))
                folder = Path(_passing().name, kind, folder.name)
        if not folder.exists():
            with atomic_folder(folder) as aside:
                write(aside)
    return folder


def run_folder(name: str, key: object) -> Path:
    """Return the folder of a training that can be resumed: `paths.runs()/name-digest`.

    key : all that the training reads, as for `digest`; another key, another folder
    """
    return paths.runs() / f"{name}-{digest(key)[:8]}"


def plain(value: object) -> object:
    """Turn a dataclass, a set or a path into JSON values; TypeError for others."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"not to be written as JSON: {type(value).__name__}")


def _read(entry: Path) -> Any:
    """Return a whole entry's value, else None."""
    try:
        if (path := entry.with_suffix(".json")).exists():
            return json.loads(path.read_text(encoding="utf-8"))
        with np.load(entry.with_suffix(".npz")) as arrays:
            value = dict(arrays)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None
    return value[UNNAMED] if value.keys() == {UNNAMED} else value


def _write(entry: Path, value: Any) -> Any:
    """Write an entry; return its value as `_read` does."""
    if isinstance(value, np.ndarray):
        value = {UNNAMED: value}
    parts = value.values() if isinstance(value, dict) else []
    if parts and all(isinstance(part, np.ndarray) for part in parts):
        with atomic_path(entry.with_suffix(".npz")) as path:
            np.savez(path, **value)
        return value.get(UNNAMED, value)
    text = json.dumps(value, ensure_ascii=False)
    with atomic_path(entry.with_suffix(".json")) as path:
        path.write_text(text, encoding="utf-8")
    return json.loads(text)


@functools.cache
def _warn(reason: str) -> None:
    # not by warnings.warn, which hush() silences
    logging.getLogger(__name__).warning(
        "the cache folder %s cannot be written (%s): results are not kept; set "
        "DRCAP_HOME to another folder",
        paths.home(),
        reason,
    )


@functools.cache
def _passing() -> tempfile.TemporaryDirectory:
    """Return a temporary folder that is removed when the process ends."""
    return tempfile.TemporaryDirectory(prefix="drcap-", ignore_cleanup_errors=True)
