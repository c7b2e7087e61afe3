"""A caption datastore on disk (sec. II-B): a folder of three or four files.

`captions.parquet` holds the texts, `embeddings.npy` their unit rows in the same order,
and `index.faiss` an approximate index where there is one. `datastore.json` holds the
format's version, the encoder's fingerprint and the SHA-256 of the others: a damaged
file is an error and never a wrong caption. Rows are stored in float32 or float16,
mapped into memory, and always computed with in float32.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from drcap.atomic import sha256
from drcap.errors import DatastoreError

VERSION = 2  # 1 had embeddings.safetensors
MANIFEST, CAPTIONS = "datastore.json", "captions.parquet"
EMBEDDINGS, INDEX = "embeddings.npy", "index.faiss"


def float32(rows: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return rows (n, D) as a float32 tensor, without a copy where possible."""
    if not rows.flags.writeable:  # torch would warn
        rows = rows.copy()
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device, torch.float32)


def blocks_of(embeddings: np.ndarray, size: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first row, block (<= size, D) float32)."""
    for start in range(0, len(embeddings), size):
        yield start, float32(embeddings[start : start + size])


def unusable(folder: Path, problem: str) -> DatastoreError:
    """Return the error of a datastore that must be built anew."""
    return DatastoreError(
        f"{folder} {problem}: rebuild it with `drcap datastore build CAPTIONS_FILE "
        f"--output {folder} --overwrite`"
    )


def check_target(folder: Path | str, *, overwrite: bool) -> None:
    """Raise DatastoreError if a datastore must not be written to `folder`.

    Only another datastore may be replaced, and only with `overwrite`.
    """
    folder = Path(folder)
    for path in (folder, *folder.absolute().parents):
        if path.is_file():
            raise DatastoreError(f"{path} is a file: name a folder for the datastore")
    if folder.exists() and any(folder.iterdir()):
        if not (folder / MANIFEST).exists():
            raise DatastoreError(f"{folder} holds other files: name another folder")
        if not overwrite:
            raise DatastoreError(
                f"{folder} exists: name another folder or add --overwrite"
            )


def complete(folder: Path, captions: Sequence[str], encoder: str, index: str) -> None:
    """Write captions and manifest to `folder`, which holds embeddings and any index."""
    import pandas as pd

    frame = pd.DataFrame({"caption": list(captions)}, dtype=object)
    frame.to_parquet(folder / CAPTIONS, index=False)
    names = [CAPTIONS, EMBEDDINGS, *([INDEX] if (folder / INDEX).exists() else [])]
    manifest = {"version": VERSION, "encoder": encoder, "index": index}
    manifest["sha256"] = {name: sha256(folder / name) for name in names}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def read(folder: Path) -> tuple[list[str], np.ndarray, dict]:
    """Return captions (N), embeddings (N, D) mapped into memory, and the manifest.

    DatastoreError if the folder is missing, holds no datastore of this version of the
    format, or was changed since it was written.
    """
    import pandas as pd

    if not (folder / MANIFEST).is_file():
        raise unusable(folder, f"does not exist or is no datastore (no {MANIFEST})")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        version, *_ = [manifest[key] for key in ("version", "encoder", "index")]
        digests = dict(manifest["sha256"])
    except (ValueError, LookupError, TypeError):  # not UTF-8, JSON, or a manifest
        raise unusable(folder, f"is damaged, {MANIFEST} cannot be read") from None
    if version != VERSION:
        raise unusable(folder, f"has format version {version}, not {VERSION}")
    for name in {CAPTIONS, EMBEDDINGS, *digests}:
        file = folder / name
        if not file.is_file() or sha256(file) != digests.get(name):
            raise unusable(folder, f"is damaged, {name} is missing or has changed")
    captions = pd.read_parquet(folder / CAPTIONS)["caption"].tolist()
    return captions, np.load(folder / EMBEDDINGS, mmap_mode="c"), manifest
