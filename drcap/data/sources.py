"""What is published of each real dataset: where, how large, on what terms, how many.

The facts are data, in sources.toml beside this file. Counts are those of the papers and
of the published files; sizes are of the audio as aac-datasets' pages state them. Only
`download` fetches anything, through aac-datasets, an optional dependency.
"""

import importlib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic.dataclasses import dataclass

from drcap.errors import DatasetError

REQUIREMENT = "aac-datasets==0.7.0"
OTHER_NAMES = {  # of the published subsets
    "audiocaps": {"validation": "val"},
    "clotho": {"train": "development", "val": "validation", "test": "evaluation"},
}


@dataclass(frozen=True)
class Download:
    """One thing to download, and where below the dataset's folder it belongs."""

    what: str
    url: str
    size: str  # "not stated" where no page that was read states it
    into: str


@dataclass(frozen=True)
class Source:
    """A dataset as published."""

    name: str
    title: str
    licence: str
    counted: str  # what `expected` counts: captions or clips
    downloads: tuple[Download, ...]
    expected: Mapping[str, Mapping[str, int]]  # subset -> which copy -> count
    folder: str | None = None  # where aac-datasets puts it, below its root
    fetched: Mapping[str, str] | None = None  # subset -> its name in aac-datasets

    def verdict(self, subset: str, count: int) -> str:
        """Say which published copy has this count, or which counts were expected."""
        known = self.expected.get(subset, {})
        if count in known.values():
            return next(copy for copy, number in known.items() if number == count)
        wanted = " or ".join(f"{number:,} ({copy})" for copy, number in known.items())
        return f"expected {wanted}" if wanted else "no published count"


def source_of(name: str) -> Source:
    """Return a dataset's entry; DatasetError lists the known names."""
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise DatasetError(f"unknown data set {name!r}: choose from {known}")
    return SOURCES[name]


def subset_names(name: str, subsets: Sequence[str]) -> list[str]:
    """Return the published names of `subsets`, or all; DatasetError on another."""
    known, other = source_of(name).expected, OTHER_NAMES.get(name, {})
    published = [other.get(subset, subset) for subset in subsets]
    for given, subset in zip(subsets, published, strict=True):
        if subset not in known:
            choices = ", ".join(known)
            raise DatasetError(f"{name} has no subset {given!r}: choose from {choices}")
    return list(dict.fromkeys(published)) or list(known)


def download(
    name: str, root: Path, subsets: Sequence[str] = (), version: str | None = None
) -> None:
    """Fetch a dataset's subsets, or all, to `root`; what is there is kept.

    Raises DatasetError: aac-datasets is not installed, does not know the dataset, or
    fails.
    """
    source = source_of(name)
    if not source.fetched:
        urls = ", ".join(entry.url for entry in source.downloads)
        raise DatasetError(
            f"{source.title} cannot be fetched by --download: get it from {urls}"
        )
    try:
        functional = importlib.import_module("aac_datasets.datasets.functional")
    except ImportError as error:
        raise DatasetError(
            f"--download needs aac-datasets ({error}): run "
            f"`python -m pip install {REQUIREMENT}`, or leave out --download to see "
            "what to fetch by hand"
        ) from None
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


with Path(__file__).with_name("sources.toml").open("rb") as _stream:
    SOURCES = {n: Source(name=n, **table) for n, table in tomllib.load(_stream).items()}
