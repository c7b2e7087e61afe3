"""Values and folders that are computed once and kept in the cache folder.

An entry is found by a digest of all that it depends on, and written aside and renamed:
a kill leaves no half of one. Entries are never renewed; another key is another entry.
"""

import atexit
import functools
import hashlib
import json
import logging
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from drcap import paths
from drcap.atomic import atomic_folder, atomic_path

DAMAGED = (ValueError, EOFError, zipfile.BadZipFile)  # what reading one raises


def digest(content: object) -> str:
    """Return 16 hex digits of the SHA-256 of `content` as JSON.

    content : JSON values; dataclasses, paths and sets among them are taken too
    """
    text = json.dumps(content, sort_keys=True, default=_jsonable)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def keep(kind: str, key: object, make: Callable[[], Any]) -> Any:
    """Return `make()`, computed once and kept under `paths.home() / kind`.

    kind : folder of the entry; "a/b" is a folder in a folder
    key : all that the value depends on, as for `digest`
    make : returns a JSON value, a numpy array, or a dict of arrays

    A damaged entry is computed anew. Where the cache folder cannot be written, a
    warning says so once, and the value is returned all the same.
    """
    entry = paths.home() / kind / digest(key)
    for suffix, read in READERS.items():
        try:
            return read(entry.with_suffix(suffix))
        except (OSError, *DAMAGED):  # absent or damaged
            continue
    value = make()
    suffix = _suffix(value)
    if suffix == ".json":
        value = json.loads(json.dumps(value))  # what a later call reads
    try:
        with atomic_path(entry.with_suffix(suffix)) as path:
            _write(value, path)
    except OSError as error:
        _warn(f"the cache folder {paths.home()} cannot be written ({error.strerror})")
    return value


def keep_folder(kind: str, key: object, write: Callable[[Path], object]) -> Path:
    """Return a folder that `write` filled once, kept under `paths.home() / kind`.

    write : gets an empty folder to fill; it is placed whole when `write` returns

    Processes that want the same folder wait for the first. Where the cache folder
    cannot be written, the folder lasts as long as this process.
    """
    folder = paths.home() / kind / digest(key)
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_suffix(".lock"))
        lock.acquire()
    except OSError as error:
        _warn(f"the cache folder {paths.home()} cannot be written ({error.strerror})")
        folder, lock = _passing() / kind / digest(key), None
    try:
        if not folder.exists():
            with atomic_folder(folder) as aside:
                write(aside)
    finally:
        if lock:
            lock.release()
    return folder


def run_folder(name: str, key: object) -> Path:
    """Return the folder of a training that can be resumed: `paths.runs()/name-digest`.

    key : all that the training reads, as for `digest`; another key, another folder
    """
    return paths.runs() / f"{name}-{digest(key)[:8]}"


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


READERS = {".json": _read_json, ".npy": np.load, ".npz": _read_arrays}


def _suffix(value: object) -> str:
    if isinstance(value, np.ndarray):
        return ".npy"
    entries = list(value.values()) if isinstance(value, dict) else []
    arrays = [entry for entry in entries if isinstance(entry, np.ndarray)]
    return ".npz" if arrays and len(arrays) == len(entries) else ".json"


def _write(value: Any, path: Path) -> None:
    with open(path, "wb") as stream:
        if path.suffix == ".npy":
            np.save(stream, value, allow_pickle=False)
        elif path.suffix == ".npz":
            np.savez(stream, **value)
        else:
            stream.write(json.dumps(value, ensure_ascii=False).encode())


def _jsonable(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a key of the cache must be JSON, got {type(value).__name__}")


@functools.cache
def _warn(message: str) -> None:
    # not warnings.warn, which hush() silences
    logging.getLogger(__name__).warning("%s: results are not kept", message)


@functools.cache
def _passing() -> Path:
    """Return a temporary folder that is removed when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="drcap-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
