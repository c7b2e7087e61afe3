"""Where to compute and in which precision.

A run whose device falls short of the usual one says so once, in a line: a GPU that
torch cannot use, or one without bfloat16. Nothing was run on Apple GPUs by us.
"""

import functools
import logging
import subprocess
from contextlib import suppress
from pathlib import Path

import torch

from drcap.errors import ConfigError


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is CUDA, else Apple's GPU, else the CPU.

    Raises ConfigError for an unknown name, or a GPU that is not there.
    """
    visible = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        name = next(kind for kind in visible if visible[kind])
        if name == "cpu" and (problem := driver_problem()):
            _warn(problem)
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: '{name}' is no device; try auto or cpu") from None
    if not visible.get(device.type, True):
        raise ConfigError(f"device: '{name}': no GPU is visible; use cpu")
    return device


def driver_problem() -> str | None:
    """Return a message where nvidia-smi lists GPUs that torch cannot use, else None."""
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    options = {"capture_output": True, "text": True, "timeout": 60, "check": True}
    if not torch.cuda.is_available():
        with suppress(OSError, subprocess.SubprocessError):
            listed = subprocess.run(command, **options).stdout.strip()
            if gpu := listed.partition("\n")[0]:
                return (
                    f"nvidia-smi sees {gpu}, torch {torch.__version__} does not: jobs "
                    "run on the CPU until the driver is updated"
                )
    return None


def training_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the frozen LLM's precision; "auto" is the fastest that suits.

    float32 on a GPU without bfloat16: float16's gradients would vanish.
    """
    return fastest_dtype(device) if name == "auto" else getattr(torch, name)


def inference_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the precision of captioning; "auto": float32, on CUDA bfloat16.

    In bfloat16 a CPU's kernels round differently for each batch size, so that a caption
    could change with its neighbours; "fastest" takes that for the time it saves. A GPU
    without bfloat16 (V100, T4) computes in float16.
    """
    if name == "auto" and device.type != "cuda":
        return torch.float32
    if name not in ("auto", "fastest"):
        return getattr(torch, name)
    dtype = fastest_dtype(device)
    return torch.float16 if (device.type, dtype) == ("cuda", torch.float32) else dtype


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware is the faster for it, else float32."""
    if device.type == "cpu":
        fast = cpu_is_faster_in_bf16()
    elif device.type == "mps":
        fast = torch.backends.mps.is_macos_or_newer(14, 0)
    else:  # older GPUs only emulate it
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
        if not fast:
            _warn("this GPU has no bfloat16: training is in float32, the rest float16")
    return torch.bfloat16 if fast else torch.float32


def cpu_is_faster_in_bf16() -> bool:
    """Tell whether the CPU multiplies bfloat16 matrices faster than float32 ones.

    Taken to be so with AMX, on Arm, and with AVX-512's instruction on AMD alone: on
    Intel that is slower than float32, as `benchmarks/training_step.py --dtype` shows.
    """
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False
    on_amd = {"avx512_bf16", "AuthenticAMD"} <= words
    return on_amd or not words.isdisjoint({"amx_bf16", "bf16"})


@functools.cache
def _warn(message: str) -> None:
    logging.getLogger(__name__).warning(message)  # hush() silences warnings.warn
