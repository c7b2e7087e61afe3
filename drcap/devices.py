"""Where to compute and in which precision."""

from pathlib import Path

import torch

from drcap.errors import ConfigError


def resolve_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" is a GPU where there is one."""
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
    """Return the frozen LLM's precision; "auto" is bfloat16 where hardware has it."""
    if name != "auto":
        return getattr(torch, name)
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else cpu_has_bf16()
    return torch.bfloat16 if fast else torch.float32


def inference_dtype(device: torch.device, name: str = "auto") -> torch.dtype:
    """Return the precision of captioning; "auto": float32 on a CPU, bfloat16 on a GPU.

    In bfloat16 a CPU's kernels round differently for each batch size, so that a caption
    could change with its neighbours.
    """
    if name != "auto":
        return getattr(torch, name)
    return torch.float32 if device.type == "cpu" else torch.bfloat16


def cpu_has_bf16() -> bool:
    """Tell whether the CPU multiplies bfloat16 matrices in hardware."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return False
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16", "bf16"))
