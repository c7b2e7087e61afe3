"""Where to compute and in which precision."""

from pathlib import Path

import torch

from drcap.errors import ConfigError


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is a GPU where there is one.

    Raises ConfigError for an unknown name, or a GPU that is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"device: '{name}' is no device; try auto or cpu") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"device: '{name}': no GPU is visible; use cpu")
    return device


def training_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the frozen LLM's precision; "auto" is the fastest that suits."""
    return fastest_dtype(device) if name == "auto" else getattr(torch, name)


def inference_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the precision of captioning; "auto": float32 on a CPU, bfloat16 on a GPU.

    In bfloat16 a CPU's kernels round differently for each batch size, so that a caption
    could change with its neighbours; "fastest" takes that for the time it saves.
    """
    if name == "fastest":
        return fastest_dtype(device)
    if name != "auto":
        return getattr(torch, name)
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 where the hardware is the faster for it, else float32."""
    gpu = device.type == "cuda"
    fast = torch.cuda.is_bf16_supported() if gpu else cpu_is_faster_in_bf16()
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
