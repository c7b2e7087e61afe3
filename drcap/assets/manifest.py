"""Which third-party weights and data there are, as assets.toml pins them."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from drcap import paths
from drcap.errors import AssetError

MANIFEST = paths.PACKAGE / "assets" / "assets.toml"
OPTIONAL = "metrics"  # the name of all groups together


@dataclass(frozen=True)
class Package:
    """A file on the package index, pinned."""

    requirement: str  # name==version
    file: str  # its name, a wheel's or a source distribution's
    sha256: str
    member: str = ""  # of one of several: the part of an archive that it holds


@dataclass(frozen=True)
class Asset:
    """One entry of the manifest."""

    name: str
    description: str
    licence: str
    bytes: int  # of the finished folder
    files: dict[str, dict[str, str]]  # path in the folder -> what assets.toml says
    package: Package | None = None  # without packages, `files` are single ones
    parts: tuple[Package, ...] = ()  # packages whose members, joined, are an archive
    hub: str | None = None  # id of the same model on the hub
    gguf: str | None = None  # the file that is converted, then dropped
    group: str | None = None  # of an optional one
    by_hand: str | None = None  # how to get the files that are not downloaded

    @property
    def pins(self) -> dict[str, str | list[str]]:
        """The SHA-256 of its files where known, or those a file may have."""
        return {k: v["sha256"] for k, v in self.files.items() if "sha256" in v}

    @property
    def source(self) -> str:
        """Where it comes from, in short."""
        for package in filter(None, (self.package, *self.parts)):
            return package.requirement
        file = next(iter(self.files.values()))
        address = file.get("maven") or urlsplit(file.get("url", "")).netloc
        return address or self.hub or "by hand"


def pinned() -> dict[str, Asset]:
    """Read the manifest: name -> Asset, the optional ones included."""
    entries = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    for entry in entries.values():
        if "package" in entry:
            entry["package"] = Package(**entry["package"])
        entry["parts"] = tuple(Package(**part) for part in entry.get("parts", ()))
    return {name: Asset(name=name, **entry) for name, entry in entries.items()}


def select(names: Iterable[str] | None = None) -> list[Asset]:
    """Return the assets of these names and groups; without names, the required ones.

    Raises AssetError, with the known names, for an unknown one.
    """
    assets = pinned().values()
    if not names:
        return [asset for asset in assets if asset.group is None]
    chosen: dict[str, Asset] = {}
    for name in names:
        named = {asset.name: asset for asset in assets if name in _names(asset)}
        if not named:
            known = ", ".join(dict.fromkeys(n for each in assets for n in _names(each)))
            raise AssetError(f"unknown asset '{name}': known are {known}")
        chosen |= named
    return list(chosen.values())


def is_pinned(sha256: str, pins: str | list[str]) -> bool:
    """Tell whether a SHA-256 is the one pinned, or one of several.

    "12ab...cd" stands for those that begin and end so.
    """
    for pin in [pins] if isinstance(pins, str) else pins:
        start, _, end = pin.partition("...")
        if sha256.startswith(start) and sha256.endswith(end):
            return True
    return False


def _names(asset: Asset) -> list[str]:
    """Return what an asset may be named by: itself, its group, all groups."""
    return [asset.name, asset.group, OPTIONAL] if asset.group else [asset.name]
