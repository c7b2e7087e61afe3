"""Building a datastore on disk: in bounded memory, by several processes, resumable.

The captions are cut into shards of fixed size. Each is encoded and written to a folder
beside the one to be; at the end they are put together and removed. A killed build goes
on from the shards that are there. Which process encodes a shard makes no difference to
it, so neither does their number. Checked against `CaptionDatastore.build`.
"""

import errno
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from drcap.clap.batches import encode_captions
from drcap.clap.encoder import CLAP
from drcap.errors import DatastoreError
from drcap.files import atomic_path, replace_folder, write_json
from drcap.files.embeddings import NAME, check_dtype, write_rows
from drcap.processes import Processes
from drcap.retrieval import datastore_files
from drcap.retrieval.matches import distinct
from drcap.retrieval.nearest import build_index, check_index

SHARD = 4_096  # captions that are encoded before they are written aside
PLAN = "plan.json"  # what the shards are of
WHOLE = "whole"  # the datastore while it is put together
FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


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

    Called again after it was killed, it encodes only what is lacking, and writes the
    same bytes, but for the graph of an hnsw index, which threads build together.
    """
    check_dtype(dtype)
    check_index(index)
    folder = Path(folder).resolve()
    datastore_files.check_target(folder, overwrite=True)
    processes = processes or Processes("cpu")
    shards = _Shards(
        aside(folder), distinct(captions), clap.fingerprint, clap.dim, dtype, shard_size
    )
    with _disk_errors(shards.folder):
        shards.open(processes)
        shards.encode(clap, batch_size, processes, progress)
        if processes.main:
            _assemble(folder, shards, index, progress)
    processes.wait()


def aside(folder: Path | str) -> Path:
    """Return where the shards of a datastore lie until it is whole."""
    folder = Path(folder).resolve()
    return folder.with_name(folder.name + ".building")


@dataclass(frozen=True)
class _Shards:
    """The encoded parts of a datastore to be, `size` captions each."""

    folder: Path
    texts: list[str]
    encoder: str  # its fingerprint
    dim: int
    dtype: str
    size: int

    def open(self, processes: Processes) -> None:
        """Make the folder; DatastoreError if it holds anything but these shards."""
        plan = {
            "encoder": self.encoder,
            "captions": hashlib.sha256(json.dumps(self.texts).encode()).hexdigest(),
            "dtype": self.dtype,
            "shard size": self.size,
        }
        found = self._found(plan)
        others = [name for name, value in plan.items() if found.get(name) != value]
        if others:
            raise DatastoreError(
                f"{self.folder} holds a half-built datastore that differs in "
                f"{' and '.join(others)}: build that one to its end, or delete it"
            )
        processes.wait()  # until all have looked
        if processes.main:
            write_json(self.folder / PLAN, plan)

    def _found(self, plan: dict) -> dict:
        """Return the plan of the shards that are there, or `plan` where none are."""
        # a name with a dot is what a kill has left half-written
        if not self.folder.is_file() and not any(self.folder.glob("[!.]*")):
            return plan
        try:
            return dict(json.loads((self.folder / PLAN).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            raise DatastoreError(
                f"{self.folder} holds other files, and parts of the datastore would "
                "be written there: rename it, or name another datastore"
            ) from None

    def encode(
        self, clap: CLAP, batch_size: int, processes: Processes, progress: bool
    ) -> None:
        """Encode this process's share of what is lacking; wait for the others."""
        from tqdm import tqdm

        lacking = [number for number in range(len(self)) if not self.whole(number)]
        processes.wait()  # until all have the same list
        own = lacking[processes.index :: processes.count]
        share = f", share 1 of {processes.count}" if processes.count > 1 else ""
        bar = tqdm(
            total=sum(len(self.captions(number)) for number in own),
            desc=f"encoding captions{share}",
            unit="caption",
            delay=2,
            disable=not (progress and processes.main),
        )
        options = {"batch_size": batch_size, "progress": False}
        with bar:
            for number in own:
                texts = self.captions(number)
                self.write(number, encode_captions(texts, clap, **options))
                bar.update(len(texts))
        processes.wait()

    def __len__(self) -> int:
        return -(-len(self.texts) // self.size)

    def captions(self, number: int) -> list[str]:
        """Return the captions of a shard."""
        return self.texts[number * self.size : (number + 1) * self.size]

    def path(self, number: int) -> Path:
        """Return the file of a shard."""
        return self.folder / f"rows-{number:06}.safetensors"

    def write(self, number: int, rows: np.ndarray) -> None:
        """Write a shard's rows (n, D) with their SHA-256, whole or not at all."""
        rows = rows.astype(self.dtype, copy=False)
        digest = {"sha256": hashlib.sha256(rows.tobytes()).hexdigest()}
        with atomic_path(self.path(number)) as path:
            write_rows(path, [rows], rows.shape, self.dtype, digest)

    def whole(self, number: int) -> bool:
        """Tell whether a shard is there and undamaged; warn of one that is not."""
        if not self.path(number).exists():
            return False
        try:
            self.read(number)
        except DatastoreError as error:
            warnings.warn(f"{error}: it is encoded again", stacklevel=2)
            return False
        return True

    def read(self, number: int) -> np.ndarray:
        """Return a shard's rows (n, D); DatastoreError if it is damaged or missing."""
        path, shape = self.path(number), (len(self.captions(number)), self.dim)
        try:
            with safe_open(path, framework="numpy") as file:
                rows, digest = file.get_tensor(NAME), file.metadata()["sha256"]
        except (OSError, SafetensorError, KeyError, TypeError):
            raise DatastoreError(f"{path} is damaged") from None
        same = hashlib.sha256(rows.tobytes()).hexdigest() == digest
        if not same or rows.shape != shape or rows.dtype != self.dtype:
            raise DatastoreError(f"{path} is damaged")
        return rows


def _assemble(folder: Path, shards: _Shards, index: str, progress: bool) -> None:
    """Put the shards together and index them; remove them when all is in place."""
    datastore_files.write(
        shards.folder / WHOLE,
        shards.texts,
        (shards.read(number) for number in range(len(shards))),
        dim=shards.dim,
        dtype=shards.dtype,
        encoder=shards.encoder,
        index=index,
        make_index=lambda rows: build_index(index, rows, progress=progress),
    )
    replace_folder(shards.folder / WHOLE, folder)
    shutil.rmtree(shards.folder)


@contextmanager
def _disk_errors(folder: Path) -> Iterator[None]:
    """Turn a disk that is full, or closed to us, into an error that says so."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # faiss raises the latter
        code = getattr(error, "errno", None)
        if code in DENIED:
            raise DatastoreError(
                f"{folder} cannot be written ({error.strerror}): name another datastore"
            ) from None
        if code in FULL or "No space left" in str(error):
            raise DatastoreError(
                f"{folder}: the disk is full; free some room and run the same command "
                "again, it goes on from what is encoded"
            ) from None
        raise
