"""What this machine has, and what each profile of the package needs of it, as data.

Nothing is fetched, no model is loaded, and a missing part is a fact, not an error.
"""

import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from drcap import assets, paths
from drcap.runs.provenance import run_record

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")  # a container's own memory limit


@dataclass(frozen=True)
class Needs:
    """What a profile asks of a machine, starting from an empty cache."""

    disk_gib: float
    memory_gib: float
    gpu_memory_gib: float  # 0: no GPU needed
    time: str


# Estimates with room to spare. Smoke and demo hold the fetched assets (0.5 GiB) and a
# few copies of SmolLM2 in memory; the demo's corpora take 2.1 GiB. Paper holds
# Vicuna-7B (13 GiB in half precision) and corpora of the real ones' sizes.
PROFILE_NEEDS = {
    "smoke": Needs(1.5, 6, 0, "minutes on two CPU cores"),
    "demo": Needs(6, 10, 0, "about an hour on two CPU cores"),
    "paper": Needs(240, 32, 24, "days on one GPU"),
}


def collect() -> dict:
    """Gather the facts: packages, machine, disk, Java, assets, profiles; JSON-ready."""
    record = run_record()
    disk, memory, gpus = disk_facts(), memory_facts(), gpu_facts()
    return {
        "python": record["python"],
        "packages": record["packages"],
        "processor": processor_facts(record["machine"]),
        "gpus": gpus,
        "memory": memory,
        "disk": disk,
        "java": java_facts(),
        "assets": asset_facts(),
        "profiles": {
            name: {**asdict(needs), "lacks": lacks(needs, disk, memory, gpus)}
            for name, needs in PROFILE_NEEDS.items()
        },
    }


def processor_facts(machine: dict) -> dict:
    """Return the processor's name, its usable cores, whether bfloat16 is fast."""
    from drcap.devices import cpu_is_faster_in_bf16

    affinity = getattr(os, "sched_getaffinity", None)  # absent outside Linux
    cores = len(affinity(0)) if affinity else os.cpu_count()
    fast = cpu_is_faster_in_bf16()
    return {"name": machine["cpu"], "cores": cores, "bfloat16": fast}


def gpu_facts() -> list[dict]:
    """Return each visible GPU's name, memory and bfloat16 support."""
    import torch

    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [
        {
            "name": gpu.name,
            "memory_gib": _gib(gpu.total_memory),
            "bfloat16": gpu.major >= 8,  # in hardware, from compute capability 8.0
        }
        for gpu in found
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


def java_facts() -> dict | None:
    """Return the path and version of the Java that the metrics run, or None."""
    java = shutil.which(os.environ.get("AAC_METRICS_JAVA_PATH", "java"))
    if java is None:
        return None
    try:
        told = subprocess.run(
            [java, "-version"], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    first = next(iter(told.stderr.splitlines()), "")
    return {"path": java, "version": first}


def asset_facts() -> dict[str, dict]:
    """Return what is wrong with each asset and the remedy; None where present."""
    facts = {}
    for asset in assets.select():
        problem = assets.problem(asset)
        remedy = f"drcap assets fetch {asset.name}" if problem else None
        facts[asset.name] = {"problem": problem, "remedy": remedy}
    return facts


def lacks(needs: Needs, disk: dict, memory: dict, gpus: list[dict]) -> list[str]:
    """Name what a profile needs and this machine does not have."""
    missing = []
    if disk["free_gib"] < needs.disk_gib:
        missing.append(f"{needs.disk_gib} GiB of free disk")
    if memory["total_gib"] < needs.memory_gib:
        missing.append(f"{needs.memory_gib} GiB of memory")
    largest = max((gpu["memory_gib"] for gpu in gpus), default=0)
    if largest < needs.gpu_memory_gib:
        missing.append(f"a GPU of {needs.gpu_memory_gib} GiB")
    return missing


def _gib(count: int) -> float:
    return round(count / 2**30, 1)
