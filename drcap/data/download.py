"""Fetching a dataset through aac-datasets, an optional dependency."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from drcap.data.prepare import subset_names
from drcap.data.sources import source_of
from drcap.errors import DatasetError

REQUIREMENT = "aac-datasets==0.7.0"


def download(
    name: str, root: Path, subsets: Sequence[str] = (), version: str | None = None
) -> None:
    """Fetch a dataset's subsets, or all, to `root`; what is there is kept.

    DatasetError: aac-datasets is not installed, does not know the dataset, or fails
    """
    source = source_of(name)
    if not source.fetched:
        urls = ", ".join(each.url for each in source.downloads)
        raise DatasetError(
            f"{source.title} cannot be fetched by --download: get it from {urls}"
        )
    functional = _functional()
    fetch = getattr(functional, f"download_{name}_dataset")
    extra = {"version": version} if name == "audiocaps" and version else {}
    root.mkdir(parents=True, exist_ok=True)
    for subset in subset_names(name, subsets):
        try:
            fetch(root, subset=source.fetched[subset], verbose=1, **extra)
        except Exception as error:  # whatever its downloaders raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise DatasetError(
                f"{source.title} {subset}: the download failed ({reason}); run the "
                "command again, or leave out --download to see what to fetch by hand"
            ) from error


def _functional() -> ModuleType:
    try:
        return importlib.import_module("aac_datasets.datasets.functional")
    except ImportError as error:
        raise DatasetError(
            f"--download needs aac-datasets ({error}): run "
            f"`python -m pip install {REQUIREMENT}`, or leave out --download to see "
            "what to fetch by hand"
        ) from None
