"""Which third-party weights and data there are, as assets.toml pins them."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from drcap import paths
from drcap.errors import AssetError

MANIFEST = paths.PACKAGE / "assets" / "assets.toml"


@dataclass(frozen=True)
class Package:
    """A file on the package index, pinned."""

    requirement: str  # name==version
    kind: str  # "wheel" or "sdist"
    file: str  # its file name
    sha256: str
    bytes: int


@dataclass(frozen=True)
class Asset:
    """One entry of the manifest."""

    name: str
    description: str
    licence: str
    bytes: int  # of the finished folder
    files: dict[str, dict[str, str]]  # path in the folder -> what assets.toml says
    package: Package | None = None  # without it, `files` are single ones
    hub: str | None = None  # id of the same model on the hub
    gguf: str | None = None  # the file that is converted, then dropped
    group: str | None = None  # of an optional one
    by_hand: str | None = None  # how to get the files that are not downloaded

    @property
    def pins(self) -> dict[str, str]:
        """The SHA-256 of its files, where known."""
        return {k: v["sha256"] for k, v in self.files.items() if "sha256" in v}

    @property
    def source(self) -> str:
        """Where it comes from, in short."""
        if self.package:
            return self.package.requirement
        urls = (file["url"] for file in self.files.values() if "url" in file)
        return urlsplit(next(urls, "")).netloc or "by hand"


def pinned(*, optional: bool = False) -> dict[str, Asset]:
    """Read the manifest, without or with the optional assets: name -> Asset."""
    entries = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    for entry in entries.values():
        if "package" in entry:
            entry["package"] = Package(**entry["package"])
    assets = {name: Asset(name=name, **entry) for name, entry in entries.items()}
    return {k: v for k, v in assets.items() if optional or v.group is None}


def select(names: Iterable[str] | None = None) -> list[Asset]:
    """Return the assets of these names and groups; without names, the required ones.

    Raises AssetError, with the known names, for an unknown one.
    """
    if not names:
        return list(pinned().values())
    assets = pinned(optional=True)
    groups = {asset.group: None for asset in assets.values() if asset.group}
    for name in names:
        if name not in assets and name not in groups:
            known = ", ".join([*assets, *groups])
            raise AssetError(f"unknown asset '{name}': known are {known}")
    chosen = {
        asset.name: asset
        for name in names
        for asset in assets.values()
        if name in (asset.name, asset.group)
    }
    return list(chosen.values())
