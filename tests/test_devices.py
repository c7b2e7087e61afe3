from pathlib import Path

import pytest
import torch

from drcap import devices
from drcap.errors import ConfigError

CPU, GPU, APPLE = map(torch.device, ("cpu", "cuda", "mps"))


@pytest.fixture(autouse=True)
def warned(monkeypatch):
    """The lines that a run prints about its device."""
    lines = []
    monkeypatch.setattr(devices, "_warn", lines.append)
    return lines


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """Pretend that there is a GPU or none, with or without bfloat16; no nvidia-smi."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def pretend(cuda=False, mps=False, bfloat16=True):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        newer = lambda *_: bfloat16  # noqa: E731
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", newer)

        def supported(including_emulation=True):
            return bfloat16 or including_emulation

        monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)

    return pretend


@pytest.fixture
def cpu_flags(monkeypatch):
    def pretend(text):
        monkeypatch.setattr(Path, "read_text", lambda path: f"flags : sse2 {text}\n")

    return pretend


def test_auto_is_cuda_then_an_apple_gpu_then_the_cpu(gpus, warned):
    for visible, expected in (
        ({"cuda": True, "mps": True}, GPU),
        ({"mps": True}, APPLE),
        ({}, CPU),
    ):
        gpus(**visible)
        assert devices.resolve_device() == expected
    assert warned == []


def test_a_gpu_that_torch_does_not_see_is_named_in_one_line(gpus, warned, tmp_path):
    program = tmp_path / "nvidia-smi"
    for printed, code, seen in (
        ("NVIDIA H100 80GB HBM3", 0, True),
        ("No devices were found", 6, False),
        ("", 0, False),
    ):
        program.write_text(f"#!/bin/sh\necho '{printed}'\nexit {code}\n")
        program.chmod(0o755)
        gpus(cuda=True)
        assert devices.driver_problem() is None
        gpus()
        assert bool(devices.driver_problem()) == seen
        assert devices.resolve_device() == CPU
        assert devices.resolve_device("cpu") == CPU
    [line] = warned
    assert line.startswith("nvidia-smi sees NVIDIA H100 80GB HBM3, torch ")
    assert line.endswith("the driver is updated")


def test_a_device_is_taken_by_its_name(gpus):
    gpus(cuda=True)
    assert devices.resolve_device("cpu") == CPU
    assert devices.resolve_device("cuda:1") == torch.device("cuda", 1)


def test_a_device_that_is_not_there_is_an_error(gpus):
    gpus()
    for name in ("", "toaster", "cuda:x"):
        message = f"device: '{name}' is no device; try auto"
        with pytest.raises(ConfigError, match=message):
            devices.resolve_device(name)
    with pytest.raises(ConfigError, match="'cuda:0': no GPU is visible; use cpu"):
        devices.resolve_device("cuda:0")
    with pytest.raises(ConfigError, match="'mps': no GPU is visible; use cpu"):
        devices.resolve_device("mps")


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
    ("device", "bfloat16", "training", "fastest", "captioning"),
    [
        (GPU, True, torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (GPU, False, torch.float32, torch.float16, torch.float16),
        (APPLE, True, torch.bfloat16, torch.bfloat16, torch.float32),
        (APPLE, False, torch.float32, torch.float32, torch.float32),
    ],
)
def test_a_gpu_computes_in_what_it_has(
    gpus, warned, device, bfloat16, training, fastest, captioning
):
    gpus(bfloat16=bfloat16)
    assert devices.training_dtype("auto", device) is training
    assert devices.inference_dtype(device, "fastest") is fastest
    assert devices.inference_dtype(device) is captioning
    assert set(warned) == (
        {"this GPU has no bfloat16: training is in float32, the rest float16"}
        if device == GPU and not bfloat16
        else set()
    )


def test_a_precision_that_is_named_is_kept(cpu_flags):
    cpu_flags("amx_bf16")
    assert devices.training_dtype("float32", CPU) is torch.float32
    cpu_flags("")
    assert devices.training_dtype("bfloat16", CPU) is torch.bfloat16


def test_captioning_is_in_float32_on_a_cpu(cpu_flags):
    cpu_flags("amx_bf16")
    assert devices.inference_dtype(CPU) is torch.float32
    assert devices.inference_dtype(CPU, "float16") is torch.float16


def test_a_line_about_the_device_comes_once(caplog, monkeypatch):
    monkeypatch.undo()
    for _ in range(2):
        devices._warn("falls back, says this test")
    assert [record.message for record in caplog.records] == [
        "falls back, says this test"
    ]
