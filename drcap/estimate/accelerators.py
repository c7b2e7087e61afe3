"""What named GPUs compute and hold, by their makers' data sheets, and this machine.

Peaks are dense bfloat16 with float32 sums. What a job reaches of a peak is stated with
the job; this machine's own speed is measured, by a matrix product.
"""

import os
import time
from dataclasses import dataclass

import torch

from drcap.devices import fastest_dtype

GIB = 2**30
PRODUCT = 2_048  # side of the matrices that are multiplied to measure
CPU_BANDWIDTH = 20e9  # bytes/s of main memory, an assumption
CORES = 16  # beside a GPU, that build and read data, an assumption
# of a CPU's float32 product jobs reach twice the share that they reach of a peak: 0.85
# in a captioner's training, 0.5 in captioning, 0.4 in CLAP's training (AMD EPYC, AVX2)
FLOAT32_GAIN = 2.0


@dataclass(frozen=True)
class Accelerator:
    """One machine: so many like cards, or a CPU."""

    name: str
    operations: float  # bfloat16 operations/s of one card, at its peak
    bandwidth: float  # bytes/s of one card's memory
    memory: float  # bytes of one card that a program gets
    cards: int = 1
    measured: bool = False  # the speed is this machine's own, of a matrix product
    cores: int = CORES  # of processors
    gain: float = 1.0  # how much more of its speed jobs reach than of a GPU's peak


ACCELERATORS = (
    Accelerator("A100 80 GB", 312e12, 2.04e12, 79.2 * GIB),
    Accelerator("H100 80 GB", 989e12, 3.35e12, 79.2 * GIB),
    Accelerator("2 x RTX 4090 24 GB", 165e12, 1.01e12, 23.5 * GIB, cards=2),
)


def this_machine() -> Accelerator:
    """Return this machine, its speed measured in about a second."""
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        known = [each for each in ACCELERATORS if each.name.split()[0] in card.name]
        bandwidth = known[0].bandwidth if known else 1e12
        return Accelerator(
            f"here: {card.name}",
            matmul_speed(torch.device("cuda"), torch.bfloat16),
            bandwidth,
            card.total_memory,
            torch.cuda.device_count(),
            measured=True,
            cores=os.cpu_count(),
        )
    from drcap.doctor import memory_facts

    cpu = torch.device("cpu")
    memory = memory_facts()["total_gib"] * GIB
    dtype = fastest_dtype(cpu)
    return Accelerator(
        "here: CPU",
        matmul_speed(cpu, dtype),
        CPU_BANDWIDTH,
        memory,
        measured=True,
        cores=os.cpu_count(),
        gain=FLOAT32_GAIN if dtype is torch.float32 else 1.0,
    )


def matmul_speed(device: torch.device, dtype: torch.dtype, rounds: int = 3) -> float:
    """Return operations/s of a square matrix product, the fastest of some rounds."""
    side = PRODUCT if device.type == "cpu" else 4 * PRODUCT
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in "ab")
    seconds = []
    for _ in range(rounds + 1):  # the first one starts what there is to start
        _synchronise(device)
        start = time.perf_counter()
        left @ right
        _synchronise(device)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 / min(seconds[1:])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
