"""Building a datastore on disk: in bounded memory, by several processes, resumable.

The captions are cut into shards. Each is encoded, written to its place in the file of
embeddings and marked as done, all in a folder beside the one to be. Resumes after a
kill; encodes only the missing shards. The bytes do not depend on the number of
processes. Checked against `CaptionDatastore.build`.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from drcap.atomic import atomic_path, replace_folder, write_json
from drcap.clap.batches import encode_captions
from drcap.clap.encoder import CLAP
from drcap.errors import DatastoreError
from drcap.processes import Processes
from drcap.retrieval import files
from drcap.retrieval.index import build_index, check_index
from drcap.retrieval.matches import distinct

SHARD = 4_096  # captions that are encoded before they are written
PLAN = "plan.json"  # what the shards are of


def build_datastore(
    folder: Path | str,
    captions: Iterable[str],
    clap: CLAP,
    *,
    dtype: str = "float32",
    index: str = "exact",
    batch_size: int = 512,
    shard_size: int = SHARD,
    processes: Processes | None = None,
    progress: bool = True,
) -> None:
    """Write the distinct captions with their embeddings to `folder`, replacing one.

    dtype : float32 or float16, on disk          index : exact, ivf or hnsw
    processes : that share the work; every one of them calls this function

    The same call after a kill writes the same bytes, but for the graph of an hnsw
    index, which threads build together. DatastoreError if another build of the folder
    runs, if it holds anything else, or if it cannot be written; ConfigError for an
    unknown dtype or index.
    """
    files.check_dtype(dtype)
    check_index(index)
    folder = Path(folder).resolve()
    files.check_target(folder, overwrite=True)
    processes = processes or Processes("cpu")
    shards = _Shards(aside(folder), distinct(captions), clap, dtype, shard_size)
    with _lock(shards.folder, processes.main):
        if processes.main:
            shards.open()
        processes.wait()
        shards.encode(batch_size, processes, progress)
        processes.wait()
        if processes.main:
            shards.finish(folder, index, progress)
    processes.wait()


def aside(folder: Path | str) -> Path:
    """Return where a datastore is built until it is whole."""
    folder = Path(folder).resolve()
    return folder.with_name(folder.name + ".building")


class _Shards:
    """The parts of a datastore to be, `size` captions each, in `folder`."""

    def __init__(
        self, folder: Path, texts: list[str], clap: CLAP, dtype: str, size: int
    ):
        self.folder, self.texts, self.clap = folder, texts, clap
        self.dtype, self.size = dtype, size
        self.whole = folder / "whole"  # becomes the datastore
        self.path = self.whole / files.EMBEDDINGS

    def open(self) -> None:
        """Make the files; DatastoreError if there are others in the folder."""
        plan = {
            "encoder": self.clap.fingerprint,
            "captions": hashlib.sha256(json.dumps(self.texts).encode()).hexdigest(),
            "dtype": self.dtype,
            "shard size": self.size,
        }
        before = self._read_plan() or plan
        if others := [name for name in plan if before.get(name) != plan[name]]:
            raise DatastoreError(
                f"{self.folder} holds a half-built datastore that differs in "
                f"{' and '.join(others)}: build that one to its end, or delete it"
            )
        write_json(self.folder / PLAN, plan)
        if not self.path.exists():
            self._unmark()
            self.whole.mkdir(exist_ok=True)
            shape = (len(self.texts), self.clap.dim)
            with atomic_path(self.path) as path:
                np.lib.format.open_memmap(path, "w+", self.dtype, shape)

    def _read_plan(self) -> dict | None:
        # a name with a dot is the lock, or what a kill has left half-written
        if not any(self.folder.glob("[!.]*")):
            return None
        try:
            return dict(json.loads((self.folder / PLAN).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise DatastoreError(
                f"{self.folder} holds other files, and the datastore would be built "
                "there: rename it, or name another datastore"
            ) from None

    def encode(self, batch_size: int, processes: Processes, progress: bool) -> None:
        """Encode this process's share of the missing shards."""
        from tqdm import tqdm

        numbers = range(-(-len(self.texts) // self.size))
        missing = [number for number in numbers if not self._mark(number).exists()]
        processes.wait()  # until all have the same list
        own = missing[processes.index :: processes.count]
        bar = {"desc": "encoding captions", "unit": "caption", "unit_scale": self.size}
        bar |= {"delay": 2, "disable": not progress or not processes.main}
        options = {"batch_size": batch_size, "progress": False}
        for number in tqdm(own, **bar):
            texts = self.texts[number * self.size :][: self.size]
            self.write(number, encode_captions(texts, self.clap, **options))

    def write(self, number: int, rows: np.ndarray) -> None:
        """Write a shard's rows (n, D) to their place and mark the shard as done.

        Through the file and not through its map: a full disk is then an OSError and not
        a fatal signal, and the pages written do not count as this process's memory.
        """
        place = np.load(self.path, mmap_mode="r")
        with open(self.path, "r+b") as file:
            file.seek(place.offset + number * self.size * place.strides[0])
            file.write(rows.astype(self.dtype).data)
            file.flush()
            os.fsync(file.fileno())
        self._mark(number).touch()

    def finish(self, folder: Path, index: str, progress: bool) -> None:
        """Index the embeddings and place the datastore at `folder`."""
        rows = np.load(self.path, mmap_mode="r")
        (self.whole / files.INDEX).unlink(missing_ok=True)  # of a killed build
        build_index(index, rows, progress=progress).save(self.whole / files.INDEX)
        files.complete(self.whole, self.texts, self.clap.fingerprint, index)
        replace_folder(self.whole, folder)
        self._unmark()
        shutil.rmtree(self.folder)

    def _mark(self, number: int) -> Path:
        return self.folder / f"shard-{number:06}"

    def _unmark(self) -> None:
        for mark in self.folder.glob("shard-*"):
            mark.unlink()


@contextmanager
def _lock(folder: Path, main: bool) -> Iterator[None]:
    """Let one build at a time into a folder; its main process holds the lock.

    DatastoreError if another build holds it, or if the disk is full or closed to us.
    """
    lock = FileLock(folder / ".lock")
    try:
        if main:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        yield
    except Timeout:
        raise DatastoreError(
            f"{folder}: another build of this datastore runs; wait until it ends, or "
            "name another datastore"
        ) from None
    except OSError as error:
        raise DatastoreError(
            f"{folder} cannot be written ({error.strerror or error}): mend that, then "
            "the same command goes on from what is encoded"
        ) from None
    finally:
        lock.release()
