"""The command that trains a profile's captioner, with a tiny language model."""

import json

import pytest
import typer
from doubles import TOY_CAPTIONS, ToyCLAP
from typer.testing import CliRunner

from drcap.config import override, profile
from workflow import train_captioner


@pytest.fixture
def command(language_model, tmp_path, monkeypatch):
    """The command with tiny models, on sixty captions."""
    changes = {
        "captioner": {"language_model": language_model, "language_model_blocks": 1},
        "training": {"dtype": "float32"},
        "retrieval": {"sim_min": 0.3, "sim_max": 0.8},
    }
    smoke = override(profile("smoke"), changes)
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(train_captioner.configuration, "profile", {"smoke": smoke}.get)
    monkeypatch.setattr(train_captioner, "load_clap", lambda *_: ToyCLAP())
    captions = tmp_path / "captions.txt"
    captions.write_text("\n".join(TOY_CAPTIONS))
    app = typer.Typer()
    app.command()(train_captioner.main)
    given = ["--profile", "smoke", "--device", "cpu", "--captions", str(captions)]
    return lambda *options: CliRunner().invoke(app, [*given, *options])


def test_a_captioner_is_trained_into_the_runs_folder(command, tmp_path):
    told = command()
    assert told.exit_code == 0, told.output
    folder = tmp_path / "home" / "runs" / "captioner-smoke-seed-0"
    assert "4 steps, validation loss" in told.output
    assert (folder / "best" / "mapper.safetensors").exists()
    record = json.loads((folder / "run.json").read_text())
    assert record["processes"] == 1 and not record["sharded"]
    assert record["steps_done"] == 4 and len(record["inputs"]) == 2


def test_options_change_the_profile_and_a_stopped_run_goes_on(command, tmp_path):
    options = ["--output", str(tmp_path / "run"), "--steps", "12", "--micro-batch", "1"]
    options += ["--gradient-checkpointing", "--attention", "sdpa"]
    stopped = command(*options, "--stop-after", "1")
    assert stopped.exit_code == 0, stopped.output
    assert "1 steps, validation loss not measured yet" in stopped.output
    told = command(*options)
    assert told.exit_code == 0, told.output
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    training = config["training"]
    assert (training["steps"], training["warmup_steps"]) == (12, 6)
    assert training["micro_batch"] == 1 and training["gradient_checkpointing"]
    assert config["captioner"]["attention"] == "sdpa"
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["steps_done"] == 12
