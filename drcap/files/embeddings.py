"""A matrix of embeddings in one safetensors file, written and read block by block.

safetensors' own functions hold the whole matrix in memory; the bytes written here are
the same. Halves are stored at float16 and always computed with at float32.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from drcap.errors import ConfigError, DatastoreError

DTYPES = {"float32": "F32", "float16": "F16"}  # numpy's name: safetensors' name
NAME = "embeddings"  # of the one tensor in a file
CHECKED = 8_192  # rows looked at at once


def check_dtype(dtype: str) -> None:
    """Raise ConfigError unless embeddings can be stored as `dtype`."""
    if dtype not in DTYPES:
        raise ConfigError(f"dtype: '{dtype}' is not stored; use {' or '.join(DTYPES)}")


def check_unit_rows(embeddings: np.ndarray) -> None:
    """Raise DatastoreError unless all rows of (N, D) have unit norm."""
    for _, block in blocks_of(embeddings, CHECKED):
        norms = torch.linalg.vector_norm(block, dim=1)
        if not ((norms - 1).abs() < 1e-3).all():  # also false for NaN
            raise DatastoreError("the embeddings are not unit rows: normalise them")


def write_rows(
    path: Path,
    blocks: Iterable[np.ndarray],
    shape: tuple[int, int],
    dtype: str,
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Write blocks (n, D) that make up (N, D) = `shape` together, in their order."""
    written = 0
    with open(path, "wb") as file:
        file.write(_header(shape, dtype, metadata))
        for block in blocks:
            file.write(np.ascontiguousarray(block, dtype=dtype).data)
            written += len(block)
    if written != shape[0]:
        raise ValueError(f"{path}: expected {shape[0]} rows, got {written}")


def map_rows(path: Path) -> np.ndarray:
    """Return the (N, D) float16 or float32 matrix of a file, mapped into memory.

    Read as it is used; what is written to the array does not reach the file. Raises
    ValueError or KeyError where the header is not that of such a file.
    """
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(length))[NAME]
    known = {code: name for name, code in DTYPES.items()}
    shape, dtype = tuple(entry["shape"]), np.dtype(known[entry["dtype"]])
    if 0 in shape:  # nothing cannot be mapped
        return np.empty(shape, dtype)
    offset = 8 + length + entry["data_offsets"][0]
    return np.asarray(np.memmap(path, dtype, "c", offset, shape))


def float32(rows: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return rows (n, D) as a float32 tensor; no copy where they are that already."""
    if not rows.flags.writeable:  # torch would warn of it
        rows = rows.copy()
    return torch.from_numpy(np.ascontiguousarray(rows)).to(device, torch.float32)


def blocks_of(
    embeddings: np.ndarray, size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield (first row, block (<= size, D) float32 on `device`)."""
    for start in range(0, len(embeddings), size):
        yield start, float32(embeddings[start : start + size], device)


def _header(shape: tuple[int, int], dtype: str, metadata: Mapping[str, str]) -> bytes:
    """Return what precedes the rows: a length and JSON, padded to eight bytes."""
    check_dtype(dtype)
    size = shape[0] * shape[1] * np.dtype(dtype).itemsize
    entry = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [0, size]}
    content = {"__metadata__": dict(metadata)} if metadata else {}
    text = json.dumps({**content, NAME: entry}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text
