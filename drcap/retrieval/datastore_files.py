"""A caption datastore on disk: a folder of a few files, whole or not there at all.

`captions.parquet` holds the texts, `embeddings.safetensors` their unit rows in the same
order, `index.faiss` an approximate index where one was asked for, and `datastore.json`
the format's version, the encoder's fingerprint and the SHA-256 of the others, so that
damage is an error and never a wrong caption.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from drcap import files
from drcap.errors import DatastoreError
from drcap.files.embeddings import map_rows, write_rows
from drcap.retrieval import nearest

VERSION = 1
MANIFEST = "datastore.json"
CAPTIONS = "captions.parquet"
EMBEDDINGS = "embeddings.safetensors"
INDEX = "index.faiss"


def build_command(folder: Path, *, overwrite: bool = True) -> str:
    """Return the command that builds a datastore in `folder`, quoted for a message."""
    return (
        f"`drcap datastore build CAPTIONS_FILE --output {folder}"
        f"{' --overwrite' if overwrite else ''}`"
    )


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Raise DatastoreError if a datastore must not be written to `folder`.

    Only another datastore may be replaced: any other file or folder with content is
    the user's own.
    """
    folder = Path(folder)
    if folder.is_file():
        raise DatastoreError(f"{folder} is a file: name a folder for the datastore")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not (folder / MANIFEST).exists():
        raise DatastoreError(
            f"{folder} holds other files and no datastore: name another folder"
        )
    if not overwrite:
        raise DatastoreError(f"{folder} exists: name another folder or add --overwrite")


def write(
    folder: Path,
    captions: Sequence[str],
    blocks: Iterable[np.ndarray],
    *,
    dim: int,
    dtype: str,
    encoder: str,
    index: str,
    make_index: Callable[[np.ndarray], nearest.Exact | nearest.Approximate],
) -> None:
    """Write a datastore, replacing one that is there.

    captions : N texts           blocks : their embeddings, (N, dim) when put together
    dtype : float32 or float16   index : exact, ivf or hnsw
    make_index : gives the index of the embeddings that were written, (N, dim)
    """
    import pandas as pd

    folder = Path(folder)
    check_target(folder, overwrite=True)
    manifest = {
        "version": VERSION,
        "encoder": encoder,
        "captions": len(captions),
        "dim": dim,
        "dtype": dtype,
        "index": index,
    }
    with files.atomic_folder(folder) as new:
        frame = pd.DataFrame({"caption": list(captions)}, dtype=object)
        frame.to_parquet(new / CAPTIONS, index=False)
        write_rows(new / EMBEDDINGS, blocks, (len(captions), dim), dtype)
        if _has_index(manifest):
            make_index(map_rows(new / EMBEDDINGS)).save(new / INDEX)
        hashes = {path.name: files.sha256(path) for path in sorted(new.iterdir())}
        files.write_json(new / MANIFEST, manifest | {"sha256": hashes})


def read(folder: Path) -> tuple[list[str], np.ndarray, dict]:
    """Return captions (N), embeddings (N, D) mapped into memory, and the manifest.

    DatastoreError if the folder is missing, is no datastore, is of another version of
    the format, or was changed since it was written.
    """
    import pandas as pd

    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name in (CAPTIONS, EMBEDDINGS, *([INDEX] if _has_index(manifest) else [])):
        if not (folder / name).is_file():
            raise _damaged(folder, f"{name} is missing")
        if files.sha256(folder / name) != manifest["sha256"].get(name):
            raise _damaged(folder, f"{name} has changed since it was written")
    captions = pd.read_parquet(folder / CAPTIONS)["caption"].tolist()
    embeddings = map_rows(folder / EMBEDDINGS)
    if embeddings.shape != (manifest["captions"], manifest["dim"]):
        raise _damaged(folder, f"{MANIFEST} does not fit {EMBEDDINGS}")
    return captions, embeddings, manifest


def read_index(
    folder: Path, manifest: dict, embeddings: np.ndarray
) -> nearest.Approximate | None:
    """Return the approximate index in a datastore's folder; None where it has none.

    DatastoreError if it is not of this kind and these embeddings (N, D).
    """
    if not _has_index(manifest):
        return None
    try:
        return nearest.read_index(folder / INDEX, manifest["index"], embeddings)
    except ValueError as error:
        raise _damaged(folder, str(error)) from None


def _has_index(manifest: dict) -> bool:
    """Tell whether there is a file of an index; not in old or in empty datastores."""
    return manifest.get("index", "exact") != "exact" and manifest["captions"] > 0


def _read_manifest(folder: Path) -> dict:
    if not folder.exists():
        command = build_command(folder, overwrite=False)
        raise DatastoreError(f"{folder} does not exist: build it with {command}")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DatastoreError(
            f"{folder} is not a datastore: it holds no {MANIFEST}"
        ) from None
    except ValueError:  # neither UTF-8 nor JSON
        raise _damaged(folder, f"{MANIFEST} is not readable JSON") from None
    version = manifest.get("version") if isinstance(manifest, dict) else None
    if version != VERSION:
        raise DatastoreError(
            f"{folder} has format version {version}, this drcap reads {VERSION}: "
            f"rebuild it with {build_command(folder)}"
        )
    missing = {"encoder", "captions", "dim", "sha256"} - manifest.keys()
    if missing:
        raise _damaged(folder, f"{MANIFEST} lacks {', '.join(sorted(missing))}")
    if manifest.get("index", "exact") not in nearest.INDEXES:
        raise _damaged(folder, f"{MANIFEST} names an unknown index")
    return manifest


def _damaged(folder: Path, what: str) -> DatastoreError:
    return DatastoreError(
        f"{folder} is damaged, {what}: rebuild it with {build_command(folder)}"
    )
