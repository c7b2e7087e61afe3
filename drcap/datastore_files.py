"""A caption datastore on disk: a folder of three files, whole or not there at all.

`captions.parquet` holds the texts, `embeddings.safetensors` their unit rows in the same
order, and `datastore.json` the format's version, the encoder's fingerprint and the
SHA-256 of the other two, so that damage is an error and never a wrong caption.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drcap import files
from drcap.errors import DatastoreError

VERSION = 1
MANIFEST = "datastore.json"
CAPTIONS = "captions.parquet"
EMBEDDINGS = "embeddings.safetensors"
HASHED = (CAPTIONS, EMBEDDINGS)


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
    folder: Path, captions: Sequence[str], embeddings: np.ndarray, encoder: str
) -> None:
    """Write captions (N) and embeddings (N, D) float32, replacing a datastore there."""
    import pandas as pd
    from safetensors.numpy import save_file

    folder = Path(folder)
    check_target(folder, overwrite=True)
    with files.atomic_folder(folder) as new:
        pd.DataFrame({"caption": list(captions)}, dtype=object).to_parquet(
            new / CAPTIONS, index=False
        )
        save_file({"embeddings": embeddings}, new / EMBEDDINGS)
        manifest = {
            "version": VERSION,
            "encoder": encoder,
            "captions": len(captions),
            "dim": embeddings.shape[1],
            "sha256": {name: files.sha256(new / name) for name in HASHED},
        }
        files.write_json(new / MANIFEST, manifest)


def read(folder: Path) -> tuple[list[str], np.ndarray, str]:
    """Return captions (N), embeddings (N, D) float32 and the encoder's fingerprint.

    DatastoreError if the folder is missing, is no datastore, is of another version of
    the format, or was changed since it was written.
    """
    import pandas as pd
    from safetensors.numpy import load_file

    folder = Path(folder)
    manifest = _read_manifest(folder)
    for name in HASHED:
        if not (folder / name).is_file():
            raise _damaged(folder, f"{name} is missing")
        if files.sha256(folder / name) != manifest["sha256"].get(name):
            raise _damaged(folder, f"{name} has changed since it was written")
    captions = pd.read_parquet(folder / CAPTIONS)["caption"].tolist()
    embeddings = load_file(folder / EMBEDDINGS)["embeddings"]
    if embeddings.shape != (manifest["captions"], manifest["dim"]):
        raise _damaged(folder, f"{MANIFEST} does not fit {EMBEDDINGS}")
    return captions, embeddings, manifest["encoder"]


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
    return manifest


def _damaged(folder: Path, what: str) -> DatastoreError:
    return DatastoreError(
        f"{folder} is damaged, {what}: rebuild it with {build_command(folder)}"
    )
