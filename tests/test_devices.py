from pathlib import Path

import pytest
import torch

from drcap import devices
from drcap.errors import ConfigError

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpus(monkeypatch):
    """Pretend that there is a GPU or none, with or without bfloat16."""

    def pretend(visible, bfloat16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: visible)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bfloat16)

    return pretend


@pytest.fixture
def cpu_flags(monkeypatch):
    def pretend(text):
        monkeypatch.setattr(Path, "read_text", lambda path: f"flags : sse2 {text}\n")

    return pretend


@pytest.mark.parametrize(("visible", "expected"), [(True, GPU), (False, CPU)])
def test_auto_is_a_gpu_where_there_is_one(gpus, visible, expected):
    gpus(visible)
    assert devices.resolve_device() == expected


def test_a_device_is_taken_by_its_name(gpus):
    gpus(True)
    assert devices.resolve_device("cpu") == CPU
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)


def test_a_device_that_is_not_there_is_an_error(gpus):
    gpus(False)
    for name in ("", "toaster", "cuda:x"):
        message = f"device: '{name}' is no device; try auto"
        with pytest.raises(ConfigError, match=message):
            devices.resolve_device(name)
    with pytest.raises(ConfigError, match="'cuda:0': no GPU is visible; use cpu"):
        devices.resolve_device("cuda:0")


@pytest.mark.parametrize("flags", ["amx_bf16", "bf16", "AuthenticAMD avx512_bf16"])
def test_training_is_in_bfloat16_where_the_cpu_is_the_faster_for_it(cpu_flags, flags):
    cpu_flags(flags)
    assert devices.training_dtype("auto", CPU) is torch.bfloat16
    assert devices.inference_dtype(CPU, "fastest") is torch.bfloat16


@pytest.mark.parametrize("flags", ["avx512f", "GenuineIntel avx512_bf16"])
def test_training_is_in_float32_where_bfloat16_would_be_slower(cpu_flags, flags):
    cpu_flags(flags)
    assert devices.training_dtype("auto", CPU) is torch.float32
    assert devices.inference_dtype(CPU, "fastest") is torch.float32


def test_a_system_that_does_not_list_its_cpu_trains_in_float32(monkeypatch):
    def absent(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(Path, "read_text", absent)
    assert devices.training_dtype("auto", CPU) is torch.float32


@pytest.mark.parametrize(
    ("supported", "dtype"), [(True, torch.bfloat16), (False, torch.float32)]
)
def test_a_gpu_trains_in_what_it_supports(gpus, supported, dtype):
    gpus(True, bfloat16=supported)
    assert devices.training_dtype("auto", GPU) is dtype


def test_a_precision_that_is_named_is_kept(cpu_flags):
    cpu_flags("amx_bf16")
    assert devices.training_dtype("float32", CPU) is torch.float32
    cpu_flags("")
    assert devices.training_dtype("bfloat16", CPU) is torch.bfloat16


def test_captioning_is_in_float32_on_a_cpu_and_bfloat16_on_a_gpu():
    assert devices.inference_dtype(CPU) is torch.float32
    assert devices.inference_dtype(GPU) is torch.bfloat16
