"""The record of every result: what made it, from what, on which machine.

A result is up to date where its record was made with the key of now: `made_with` is the
one place that decides so. Results of one folder have their records in one file.
"""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import psutil

from drcap import paths
from drcap.atomic import locked, sha256, write_text
from drcap.cache import digest, plain

RECORD = "run.json"  # the file of records
SHARED = "shared by all"
PACKAGES = (
    *("drcap", "torch", "transformers", "peft", "numpy", "faiss-cpu", "onnxruntime"),
    *("sentence-transformers", "aac-metrics"),
)


def run_record(
    *,
    started: float | None = None,
    seed: int | None = None,
    config: object = None,
    key: object = None,
    inputs: Iterable[Path | str] = (),
    **extra: object,
) -> dict:
    """Describe a run, ready to be written as JSON.

    started : `time.time()` at its start; when left out, the start of this process
    config : a dataclass or a dict; paths in it become text
    key : all that the result depends on, for `made_with`; its digest is recorded
    inputs : files, and folders of files, whose SHA-256 are recorded; all must exist
    extra : anything else worth keeping, under its own name

    The commit is that of the repository around this package; None outside one.
    Raises FileNotFoundError for a missing input.
    """
    started = psutil.Process().create_time() if started is None else started
    record = {
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
        "seconds": round(time.time() - started, 1),
        "peak_memory_gib": _peak_memory(),
        "git": git_state(paths.REPOSITORY),
        "seed": seed,
        "config": config,
        "key": None if key is None else digest(key),
        "inputs": {_shown(Path(path)): digests(Path(path)) for path in inputs},
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "machine": machine(),
    }
    return json.loads(json.dumps(record | extra, default=_plain_or_text))


def made_with(record: object, key: object) -> bool:
    """Tell whether a record was made by `run_record(key=key)`; none was not."""
    return isinstance(record, dict) and record.get("key") == digest(key)


def keep_records(
    folder: Path,
    group: str,
    records: Mapping[str, dict],
    only: Iterable[str] | None = None,
) -> None:
    """Put the records of results into the run.json of their folder, a line each.

    group : of results that share most: "experiments", "tables" or "notebooks"; what all
        of its records have in common is written once
    only : names in the group whose records stay; None: all
    """
    with locked(folder):
        groups = _read(folder)
        kept = read_records(folder, group) | dict(records)
        kept = {
            name: kept[name] for name in sorted(kept) if only is None or name in only
        }
        shared = _shared(list(kept.values()))
        own = {
            name: {key: value for key, value in record.items() if key not in shared}
            for name, record in kept.items()
        }
        parts = []
        for name, entries in (groups | {group: {SHARED: shared} | own}).items():
            indents = dict.fromkeys(entries) | {SHARED: 1}
            lines = [
                f"{json.dumps(key)}: {json.dumps(entry, indent=indents[key])}"
                for key, entry in entries.items()
            ]
            parts.append(f"{json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n}")
        write_text(Path(folder) / RECORD, "{" + ",\n".join(parts) + "}\n")


def read_records(folder: Path, group: str) -> dict[str, dict]:
    """Return the records of a group by name; none if there is no file."""
    entries = dict(_read(folder).get(group, {}))
    shared = entries.pop(SHARED, {})
    return {name: shared | own for name, own in entries.items()}


def _read(folder: Path) -> dict:
    try:
        return json.loads((Path(folder) / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none, or damaged
        return {}


def _shared(records: list[dict]) -> dict:
    first, *others = records or [{}]
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }


def _shown(path: Path) -> str:
    """Name an input so that the record reads the same on another machine."""
    roots = {"$DRCAP_HOME": paths.home(), ".": paths.REPOSITORY}
    for name, root in roots.items():
        if path.resolve().is_relative_to(root):
            return (Path(name) / path.resolve().relative_to(root)).as_posix()
    return str(path)


def git_state(folder: Path) -> dict | None:
    """Return the commit that `folder` stands at and whether tracked files differ."""
    if not (folder / ".git").exists():  # a repository further up is not this project's
        return None
    # a run renews reports/, which says nothing about the code that ran
    options = "--porcelain=v2 --branch --untracked-files=no -- . :!reports".split()
    command = ["git", "-C", str(folder), "status", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    header, *_, last = done.stdout.splitlines()  # "# branch.oid COMMIT", then changes
    commit = header.split()[-1]
    return {"commit": commit, "changed": not last.startswith("#")}


def digests(path: Path) -> str | dict[str, str]:
    """Return a file's SHA-256, or those of a folder's files by relative path."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return {file.relative_to(path).as_posix(): sha256(file) for file in files}


def machine() -> dict:
    """Return the platform, processor, memory and accelerators of this machine."""
    import torch

    names = map(torch.cuda.get_device_name, range(torch.cuda.device_count()))
    apple = ["Apple GPU"] * torch.backends.mps.is_available()
    return {
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),  # sums, and so training, depend on them
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "accelerators": [*names, *apple],
    }


def _peak_memory() -> float:
    """Return the most memory that this process has held so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(getrusage(RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _plain_or_text(value: object) -> object:
    try:
        return plain(value)
    except TypeError:
        return str(value)
