import json
import sys

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from drcap.checkpoint import (
    load_state,
    read_log,
    refuse_another_run,
    save_state,
    saved_step,
    saved_weights,
    timed,
    track,
    training_seconds,
    write_log,
)
from drcap.errors import ConfigError


def test_a_log_is_read_back_to_the_last_bit(tmp_path):
    rows = [{"step": 1, "loss": 0.1 + 0.2, "rate": 1 / 3}, {"step": 2, "loss": 1e-17}]
    write_log(tmp_path, rows, ("step", "loss", "rate", "measure"))
    log = read_log(tmp_path)
    assert log.step.tolist() == [1, 2] and log.loss.tolist() == [0.1 + 0.2, 1e-17]
    assert log.rate[0] == 1 / 3 and pd.isna(log.rate[1]) and log.measure.isna().all()


def trained(steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    unused = nn.Parameter(torch.zeros(2))
    parameters = {**dict(model.named_parameters()), "unused": unused}
    optimiser = torch.optim.Adam(parameters.values(), lr=0.1)
    for step in range(steps):
        update(model, optimiser, step)
    return model, optimiser, parameters


def update(model, optimiser, step):
    optimiser.zero_grad()
    inputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(step))
    model(inputs).square().sum().backward()
    optimiser.step()


def test_a_restored_state_goes_on_bit_for_bit(tmp_path):
    whole, _, _ = trained(5)
    model, optimiser, parameters = trained(3)
    save_state(tmp_path, 3, optimiser, parameters, dict(model.named_buffers()))
    model, optimiser, parameters = trained(0)
    buffers = dict(model.named_buffers())
    step = load_state(tmp_path, optimiser, parameters, buffers)
    assert step == 3
    for later in range(step, 5):
        update(model, optimiser, later)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])


def test_a_folder_without_a_state_starts_at_step_0(tmp_path):
    model, optimiser, parameters = trained(0)
    assert load_state(tmp_path, optimiser, parameters) == saved_step(tmp_path) == 0


def test_only_time_in_which_steps_were_trained_counts(tmp_path):
    assert training_seconds(tmp_path) == 0
    _, optimiser, parameters = trained(2)
    with timed(tmp_path):
        save_state(tmp_path, 2, optimiser, parameters)
    spent = training_seconds(tmp_path)
    assert saved_step(tmp_path) == 2 and spent > 0
    with timed(tmp_path):
        pass
    assert training_seconds(tmp_path) == spent


def test_weights_are_counted_without_indices(tmp_path):
    tensors = {
        "a": torch.zeros(2, 3, dtype=torch.bfloat16),
        "row": torch.zeros(7).long(),
    }
    (tmp_path / "best").mkdir()
    save_file(tensors, tmp_path / "best" / "model.safetensors")
    save_file({"b": torch.zeros(4)}, tmp_path / "other.safetensors")
    assert saved_weights(tmp_path) == 10


def test_another_runs_folder_is_refused_by_what_differs(tmp_path):
    description = {"config": {"sizes": (1, 2)}, "clips": "abc", "initial": None}
    refuse_another_run(tmp_path, description)  # an empty folder
    (tmp_path / "config.json").write_text(json.dumps(description))
    refuse_another_run(tmp_path, description)
    with pytest.raises(ConfigError, match="holds a run of another clips and initial"):
        refuse_another_run(tmp_path, description | {"clips": "def", "initial": "x"})


# trackers


def test_a_tracker_gets_each_new_row_once(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    rows = [{"step": step, "loss": 1 / step} for step in range(1, 6)]
    send = track("tensorboard", tmp_path, step=2)  # a run that was resumed there
    send(rows[:3])
    send([*rows[:4], rows[4] | {"validation_loss": 0.5}])
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    losses = [(event.step, event.value) for event in events.Scalars("loss")]
    assert losses == [(step, pytest.approx(1 / step)) for step in (3, 4, 5)]
    assert [event.step for event in events.Scalars("validation_loss")] == [5]


def test_an_unknown_or_missing_tracker_is_refused_by_name(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="unknown 'neptune'; choose one of tensorb"):
        track("neptune", tmp_path, 0)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match="wandb is not installed; pip install wandb"):
        track("wandb", tmp_path, 0)
    track(None, tmp_path, 0)([{"step": 1}])
    assert not [*tmp_path.iterdir()]
