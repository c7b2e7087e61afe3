"""The folder of a saved DRCap: where it is, and what it holds beside the captioner.

config.json, mapper.safetensors and adapter/ are in every one. A folder may also hold
its own CLAP model, its text embedding support S (N, D) and its datastore, and then no
other is taken by default.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from drcap.clap.encoder import CLAP
from drcap.config import Config
from drcap.errors import CheckpointError, ConfigError
from drcap.files import atomic_path
from drcap.retrieval import CaptionDatastore

CONFIG = "config.json"
CLAP_MODEL = "clap"
SUPPORT = "support.safetensors"
DATASTORE = "datastore"


def find(path_or_hub_id: str | Path) -> Path:
    """Return the folder of a saved model, fetched from the hub if it is none here."""
    if Path(path_or_hub_id).is_dir():
        return Path(path_or_hub_id)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path_or_hub_id)))
    except Exception as error:
        raise CheckpointError(
            f"{path_or_hub_id}: neither a folder nor a model on the hub "
            f"({type(error).__name__})"
        ) from None


def read_config(folder: Path) -> Config:
    """Return the configuration; a CLAP model in the folder by its whole path."""
    path = folder / CONFIG
    try:
        config = Config.from_dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved DRCap model") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from None
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    own = folder / config.clap
    return replace(config, clap=str(own)) if own.is_dir() else config


def read_datastore(folder: Path, clap: CLAP) -> CaptionDatastore | None:
    """Return the folder's own datastore, if it has one."""
    own = folder / DATASTORE
    return CaptionDatastore.load(own, clap) if own.exists() else None


def read_support(folder: Path, clap: CLAP) -> np.ndarray | None:
    """Return the folder's own support S, (N, D) float32, if it has one."""
    path = folder / SUPPORT
    if not path.exists():
        return None
    try:
        support = load_file(path)["embeddings"]
    except Exception as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy it again") from None
    if support.ndim != 2 or support.shape[1] != clap.dim:
        raise CheckpointError(
            f"{path}: expected (N, {clap.dim}) as the CLAP model has it, found "
            f"{support.shape}"
        )
    return support


def write_support(folder: Path, support: np.ndarray) -> None:
    """Write S, (N, D) float32, whole or not at all."""
    with atomic_path(folder / SUPPORT) as aside:
        save_file({"embeddings": np.ascontiguousarray(support, np.float32)}, aside)
