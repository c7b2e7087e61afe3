"""Time spent in training is added up over a run's calls, and no other time."""

import pytest

from drcap.runs import run_folder
from drcap.runs.run_folder import saved_weights, timed, training_seconds


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose saved step is what a test says, on a clock of whole seconds."""
    clock = {"now": 0.0, "step": 0}
    monkeypatch.setattr(run_folder, "saved_step", lambda folder: clock["step"])
    monkeypatch.setattr(run_folder.time, "monotonic", lambda: clock["now"])
    return tmp_path, clock


def train(folder, clock, seconds, step):
    with timed(folder):
        clock["now"] += seconds
        clock["step"] = step


def test_two_parts_of_a_training_add_up(run):
    folder, clock = run
    train(folder, clock, 5, step=10)
    train(folder, clock, 7, step=20)
    assert training_seconds(folder) == 12


def test_finding_a_finished_run_takes_no_training_time(run):
    folder, clock = run
    train(folder, clock, 5, step=10)
    train(folder, clock, 3, step=10)
    assert training_seconds(folder) == 5


def test_what_trains_nothing_has_taken_no_time(tmp_path):
    assert training_seconds(tmp_path) == 0


def test_weights_are_counted_over_all_files(tmp_path):
    import torch
    from safetensors.torch import save_file

    (tmp_path / "adapter").mkdir()
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "mapper.safetensors")
    save_file({"b": torch.zeros(5)}, tmp_path / "adapter/adapter.safetensors")
    assert saved_weights(tmp_path) == 11
    assert saved_weights(tmp_path / "none") == 0
