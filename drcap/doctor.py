"""What this machine has, and what each profile of the package needs of it, as data.

Nothing is fetched and no model is loaded. A missing part is a fact, not an error.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import psutil

from drcap import assets, paths
from drcap.errors import MetricError

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # a container's own memory limit


# What a profile needs, from an empty cache on, with room to spare. Smoke and demo hold
# the fetched assets (0.5 GiB) and a few copies of SmolLM2 in memory; the demo's corpora
# take 2.1 GiB. Paper holds Vicuna-7B (13 GiB in half precision) and corpora of the real
# ones' sizes.
_COLUMNS = ("disk_gib", "memory_gib", "gpu_memory_gib", "time")
PROFILE_NEEDS = {
    "smoke": (1.5, 6, 0, "minutes on two CPU cores"),
    "demo": (6, 10, 0, "about an hour on two CPU cores"),
    "paper": (240, 32, 24, "days on one GPU"),
}


def collect() -> dict:
    """Gather the facts: packages, machine, disk, Java, assets, profiles; JSON-ready."""
    from drcap.devices import cpu_is_faster_in_bf16, driver_problem
    from drcap.record import run_record

    record = run_record()
    disk, memory, gpus = disk_facts(), memory_facts(), gpu_facts()
    return {
        "python": record["python"],
        "packages": record["packages"],
        "processor": {
            "name": record["machine"]["cpu"],
            "cores": _cores(),
            "bfloat16": cpu_is_faster_in_bf16(),
        },
        "gpus": gpus,
        "driver": driver_problem(),
        "memory": memory,
        "disk": disk,
        "java": java_facts(),
        "assets": asset_facts(),
        "profiles": {
            name: needs | {"lacks": lacks(needs, disk, memory, gpus)}
            for name, needs in profile_needs().items()
        },
    }


def profile_needs() -> dict[str, dict]:
    """Return what each profile needs: disk, memory and GPU memory in GiB, time."""
    return {
        name: dict(zip(_COLUMNS, needs, strict=True))
        for name, needs in PROFILE_NEEDS.items()
    }


def gpu_facts() -> list[dict]:
    """Return the name, memory and bfloat16 support of each GPU that torch sees."""
    import torch

    gpus = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [
        {
            "name": gpu.name,
            "memory_gib": _gib(gpu.total_memory),
            "bfloat16": gpu.major >= 8,  # in hardware, from compute capability 8.0
        }
        for gpu in gpus
    ]


def memory_facts() -> dict:
    """Return total and available memory, within the container's limit if any."""
    memory = psutil.virtual_memory()
    total, available = memory.total, memory.available
    try:
        total = min(total, int(_CGROUP_LIMIT.read_text()))
    except (OSError, ValueError):  # no such file, or "max": no limit
        pass
    return {"total_gib": _gib(total), "available_gib": _gib(min(total, available))}


def disk_facts() -> dict:
    """Return the cache folder and the space free there, though it may not exist yet."""
    home = paths.home()
    existing = next(folder for folder in (home, *home.parents) if folder.exists())
    return {"home": str(home), "free_gib": _gib(shutil.disk_usage(existing).free)}


def java_facts() -> dict:
    """Return the folder of the metrics' Java, its version, or the problem with it."""
    from drcap.evaluation.java import java_home

    try:
        home = java_home()
    except MetricError as error:
        return {"path": None, "version": None, "problem": str(error)}
    _, printed = _run(str(home / "bin" / "java"), "-version")
    version = re.search(r'version "([^"]+)"', printed)  # options may print lines first
    return {
        "path": str(home),
        "version": version and version[1],
        "problem": None if version else f"does not start: {printed[:200]}",
    }


def asset_facts() -> dict[str, dict]:
    """Return what is wrong with each asset and the remedy; None where present."""
    facts = {}
    for asset in assets.select():
        problem = assets.problem(asset)
        remedy = f"drcap assets fetch {asset.name}" if problem else None
        facts[asset.name] = {"problem": problem, "remedy": remedy}
    return facts


def lacks(needs: dict, disk: dict, memory: dict, gpus: list[dict]) -> list[str]:
    """Name what a profile needs and this machine does not have."""
    largest = max((gpu["memory_gib"] for gpu in gpus), default=0)
    here = {
        "disk_gib": (disk["free_gib"], "{} GiB of free disk"),
        "memory_gib": (memory["total_gib"], "{} GiB of memory"),
        "gpu_memory_gib": (largest, "a GPU of {} GiB"),
    }
    missing = [name for name, (has, _) in here.items() if has < needs[name]]
    return [here[name][1].format(needs[name]) for name in missing]


def _run(*command: str) -> tuple[bool, str]:
    """Return whether a command succeeds, and all that it prints or why it cannot."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return False, str(error)
    return done.returncode == 0, (done.stdout + done.stderr).strip()


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # absent outside Linux
    return len(affinity(0)) if affinity else os.cpu_count()


def _gib(count: int) -> float:
    return round(count / 2**30, 1)
