"""What this machine has for the package; estimate.py has what a profile needs.

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


def collect() -> dict:
    """Return the facts, JSON-ready: packages, machine, disk, Java, assets."""
    from drcap.devices import cpu_is_faster_in_bf16, driver_problem
    from drcap.record import run_record

    record, affinity = run_record(), getattr(os, "sched_getaffinity", None)  # on Linux
    problems = {asset.name: assets.problem(asset) for asset in assets.select()}
    return {
        "python": record["python"],
        "package": {name: v or "missing" for name, v in record["packages"].items()},
        "processor": {
            "name": record["machine"]["cpu"],
            "cores": len(affinity(0)) if affinity else os.cpu_count(),
            "fastest in": "bfloat16" if cpu_is_faster_in_bf16() else "float32",
        },
        "gpu": driver_problem() or gpu_facts() or "none",
        "memory": memory_facts(),
        "disk": disk_facts(),
        "java": java_facts(),
        "asset": {
            name: f"{problem}: run `drcap assets fetch {name}`"
            if problem
            else "present"
            for name, problem in problems.items()
        },
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


def _gib(count: int) -> float:
    return round(count / 2**30, 1)
