"""The command that trains a profile's CLAP model, on a few recordings."""

import json
from types import SimpleNamespace

import pytest
import typer
from doubles_clap import tiny_clap_config, tiny_text_encoder, write_clips
from typer.testing import CliRunner

from drcap.config import SoundscapesConfig
from workflow import train_clap


@pytest.fixture
def command(tmp_path, monkeypatch):
    """The command with a tiny model; its corpora are what `folder` holds."""
    config = tiny_clap_config(tiny_text_encoder(tmp_path / "text"))
    clips = write_clips(tmp_path / "clips", 13)
    data = SimpleNamespace(
        config=SoundscapesConfig(),
        pairs=clips[:8],
        clips=lambda *_: clips[8:],
    )
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(train_clap, "clap_profile", {"demo": config}.get)
    monkeypatch.setattr(train_clap, "corpora", lambda profile, folder: data)
    app = typer.Typer()
    app.command()(train_clap.main)
    return lambda *options: CliRunner().invoke(app, [*options, "--device", "cpu"])


def test_a_profile_is_trained_into_the_runs_folder(command, tmp_path):
    told = command()
    assert told.exit_code == 0, told.output
    [folder] = (tmp_path / "home" / "runs").glob("clap-demo-seed-0-*")
    assert f"{folder / 'model'}: 6 steps, loss" in told.output.replace("\n", "")
    assert (folder / "model" / "model.safetensors").exists()
    first = (folder / "run.json").read_bytes()
    record = json.loads(first)
    assert record["seed"] == 0 and record["packages"]["torch"]
    assert record["config"]["dim"] == 16
    assert command().exit_code == 0
    assert (folder / "run.json").read_bytes() == first  # found finished


def test_folders_seed_and_first_weights_may_be_given(command, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert command("--output", str(first), "--seed", "1").exit_code == 0
    options = ("--corpora", str(tmp_path), "--initial", str(first / "model"))
    assert command("--output", str(second), *options).exit_code == 0
    assert (second / "model" / "model.safetensors").exists()
