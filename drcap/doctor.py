"""What this machine has, and what each profile of the package needs of it.

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
# GiB of disk, memory and one GPU's memory, and time, from an empty cache on and with
# room to spare. Smoke and demo hold the fetched assets (0.5 GiB) and a few copies of
# SmolLM2 in memory; the demo's corpora take 2.1 GiB. Paper holds Vicuna-7B (13 GiB in
# half precision) and corpora of the real ones' sizes.
PROFILE_NEEDS = {
    "smoke": (1.5, 6, 0, "minutes on two CPU cores"),
    "demo": (6, 10, 0, "about an hour on two CPU cores"),
    "paper": (240, 32, 24, "days on one GPU"),
}


def collect() -> dict:
    """Return the facts, JSON-ready: packages, machine, disk, Java, assets, profiles."""
    from drcap.devices import cpu_is_faster_in_bf16, driver_problem
    from drcap.record import run_record

    record, gpus = run_record(), gpu_facts()
    affinity = getattr(os, "sched_getaffinity", None)  # absent outside Linux
    has = {
        "disk": disk_facts()["free_gib"],
        "memory": memory_facts()["total_gib"],
        "GPU memory": max((gpu["memory_gib"] for gpu in gpus), default=0),
    }
    return {
        "python": record["python"],
        "package": {name: v or "missing" for name, v in record["packages"].items()},
        "processor": {
            "name": record["machine"]["cpu"],
            "cores": len(affinity(0)) if affinity else os.cpu_count(),
            "fastest in": "bfloat16" if cpu_is_faster_in_bf16() else "float32",
        },
        "gpu": driver_problem() or gpus or "none",
        "memory": memory_facts(),
        "disk": disk_facts(),
        "java": java_facts(),
        "asset": asset_facts(),
        "profile": {name: readiness(name, has) for name in PROFILE_NEEDS},
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


def java_facts() -> str:
    """Return version and folder of the metrics' Java, or the problem with it."""
    from drcap.evaluation.java import java_home

    try:
        home = java_home()
        command = [home / "bin" / "java", "-version"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (MetricError, OSError, subprocess.SubprocessError) as error:
        return str(error)
    # options of the environment may print lines before the version
    version = re.search(r'version "([^"]+)"', done.stderr)
    return f"{version[1]} ({home})" if version else f"does not start: {done.stderr}"


def asset_facts() -> dict[str, str]:
    """Return for each asset "present", or what is wrong with it and the remedy."""
    problems = {asset.name: assets.problem(asset) for asset in assets.select()}
    return {
        name: f"{problem}: run `drcap assets fetch {name}`" if problem else "present"
        for name, problem in problems.items()
    }


def readiness(profile: str, has: dict[str, float]) -> str:
    """Return what a profile lacks here, and all that it needs.

    has : GiB of disk, memory and GPU memory that are here
    """
    *sizes, time = PROFILE_NEEDS[profile]
    needs = {name: size for name, size in zip(has, sizes, strict=True) if size}
    lacks = [f"{size} GiB {name}" for name, size in needs.items() if has[name] < size]
    state = f"lacks {', '.join(lacks)}" if lacks else "ready"
    total = ", ".join(f"{size} GiB {name}" for name, size in needs.items())
    return f"{state} (needs {total}; {time})"


def _gib(count: int) -> float:
    return round(count / 2**30, 1)
