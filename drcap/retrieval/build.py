"""Building a datastore on disk: in bounded memory, by several processes, resumable.

The captions are cut into shards. Each is encoded to a file in a folder beside the
datastore, and at the end all are joined. Resumes after a kill; encodes only the missing
shards. The bytes do not depend on the number of processes. Checked against
`CaptionDatastore.build`.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from tqdm import tqdm

from drcap.atomic import atomic_path, replace_folder
from drcap.cache import digest
from drcap.clap import CLAP
from drcap.clap.batches import encode_captions
from drcap.errors import DatastoreError
from drcap.processes import Processes
from drcap.retrieval import files
from drcap.retrieval.datastore import distinct
from drcap.retrieval.index import build_index, check_settings

SHARD = 4_096  # captions that are encoded before they are written
WHOLE = "whole"  # becomes the datastore


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
) -> None:
    """Write the distinct captions with their embeddings to `folder`, replacing one.

    dtype : float32 or float16, on disk          index : exact, ivf or hnsw
    processes : that share the work; every one of them calls this function

    The same call after a kill writes the same bytes, but for the graph of an hnsw
    index, which threads build together. DatastoreError if another build of the folder
    runs, if it holds anything else, or if it cannot be written; ConfigError for an
    unknown dtype or index.
    """
    check_settings(index, dtype)
    folder = Path(folder).resolve()
    files.check_target(folder, overwrite=True)
    processes = processes or Processes("cpu")
    texts = distinct(captions)
    plan = digest([clap.fingerprint, dtype, shard_size, texts])
    aside = folder.with_name(folder.name + ".building")
    starts = range(0, len(texts), shard_size)
    shards = {start: aside / plan / f"{start:08}.npy" for start in starts}
    with _claimed(aside, plan, processes.main):
        processes.wait()
        own = list(shards.items())[processes.index :: processes.count]
        missing = [pair for pair in own if not pair[1].exists()]
        bar = {"unit": "caption", "unit_scale": shard_size, "delay": 2}
        bar |= {"desc": "encoding captions", "disable": not processes.main}
        options = {"batch_size": batch_size, "progress": False}
        for start, path in tqdm(missing, **bar):
            part = texts[start : start + shard_size]
            with atomic_path(path) as file:
                np.save(file, encode_captions(part, clap, **options).astype(dtype))
        processes.wait()
        if processes.main:
            whole = aside / WHOLE
            shutil.rmtree(whole, ignore_errors=True)  # of a killed build
            whole.mkdir()
            rows = _joined(shards.values(), whole, (len(texts), clap.dim), dtype)
            build_index(index, rows).save(whole / files.INDEX)
            files.complete(whole, texts, clap.fingerprint, index)
            replace_folder(whole, folder)
            shutil.rmtree(aside)
    processes.wait()


def _joined(
    shards: Iterable[Path], folder: Path, shape: tuple[int, int], dtype: str
) -> np.ndarray:
    """Write the shards' rows as one file, return it mapped into memory.

    Written as a stream and not through a map: a full disk is then an OSError and not a
    fatal signal, and the pages written do not count as this process's memory.
    """
    header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": shape}
    with open(folder / files.EMBEDDINGS, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for shard in shards:
            file.write(np.load(shard).data)
    return np.load(folder / files.EMBEDDINGS, mmap_mode="r")


@contextmanager
def _claimed(aside: Path, plan: str, main: bool) -> Iterator[None]:
    """Let one build at a time into the folder; its main process holds the lock."""
    lock = FileLock(aside / ".lock")
    try:
        if main:
            aside.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
            if {path.name for path in aside.glob("[!.]*")} - {plan, WHOLE}:
                raise DatastoreError(
                    f"{aside} holds other files, or a half-built datastore of other "
                    "captions or settings: finish that one, or delete the folder"
                )
        yield
    except Timeout:
        raise DatastoreError(
            f"{aside}: another build of this datastore runs; wait for its end"
        ) from None
    except OSError as error:
        raise DatastoreError(
            f"{aside} cannot be written ({error.strerror}): the same command will go "
            "on from here"
        ) from None
    finally:
        lock.release()
