"""What is published of each real dataset: where, how large, on what terms, how many.

The facts are data, in sources.toml beside this file. Counts are those of the papers and
of the published files; sizes are of the audio as aac-datasets' pages state them.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic.dataclasses import dataclass

from drcap.data import clotho
from drcap.errors import DatasetError, check_choice

# of the published subsets
OTHER_NAMES = {"audiocaps": {"validation": "val"}, "clotho": clotho.SUBSETS}


@dataclass(frozen=True)
class Source:
    """A dataset as published."""

    name: str
    title: str
    licence: str
    counted: str  # what `expected` counts: captions or clips
    downloads: tuple[dict[str, str], ...]  # what, url, size, into which folder of it
    expected: Mapping[str, Mapping[str, int]]  # subset -> which copy -> count
    folder: str | None = None  # where aac-datasets puts it below its root, if it can

    def verdict(self, subset: str, count: int) -> str:
        """Say which published copy has this count, or which counts were expected."""
        known = self.expected.get(subset, {})
        if count in known.values():
            return next(copy for copy, number in known.items() if number == count)
        wanted = " or ".join(f"{number:,} ({copy})" for copy, number in known.items())
        return f"expected {wanted}" if wanted else "no published count"


def source_of(name: str) -> Source:
    """Return a dataset's entry; DatasetError lists the known names."""
    check_choice("data set", name, SOURCES, DatasetError)
    return SOURCES[name]


def subset_names(name: str, subsets: Sequence[str]) -> list[str]:
    """Return the published names of `subsets`, or all; DatasetError on another."""
    known, other = source_of(name).expected, OTHER_NAMES.get(name, {})
    published = [other.get(subset, subset) for subset in subsets]
    for subset in published:
        check_choice(f"subset of {name}", subset, known, DatasetError)
    return list(dict.fromkeys(published)) or list(known)


with Path(__file__).with_name("sources.toml").open("rb") as _stream:
    SOURCES = {n: Source(name=n, **table) for n, table in tomllib.load(_stream).items()}
