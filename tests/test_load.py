"""A CLAP model is found by its name; an unknown name is one line that says why."""

import json

import pytest
from doubles_clap import tiny_clap_config, tiny_text_encoder

from drcap.clap import laion
from drcap.clap.model import CLAPModel, TrainedCLAP
from drcap.errors import CheckpointError, ConfigError
from drcap.load import load_clap


def test_a_folder_of_a_trained_model_is_loaded(tmp_path):
    config = tiny_clap_config(tiny_text_encoder(tmp_path / "text"))
    trained = TrainedCLAP(CLAPModel(config))
    trained.save(tmp_path / "model")
    loaded = load_clap(tmp_path / "model", device="cpu")
    assert loaded.fingerprint == trained.fingerprint


@pytest.mark.parametrize("name", ["folder", "laion/clap-htsat-unfused"])
def test_another_folder_or_a_hub_id_is_one_of_laion_s(tmp_path, monkeypatch, name):
    monkeypatch.setattr(laion, "LaionCLAP", lambda *given: given)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    for content in (None, "no JSON", json.dumps([]), json.dumps({"kind": "other"})):
        if content is not None:
            (tmp_path / "folder" / "config.json").write_text(content)
        assert load_clap(name, "cpu", "fastest") == (name, "cpu", "fastest")


def test_the_authors_file_is_known_by_its_suffix(tmp_path):
    with pytest.raises(CheckpointError, match="best_model.pt: no such file"):
        load_clap(tmp_path / "best_model.pt")


@pytest.mark.parametrize("name", ["laion", "./a/b", "~/none", "a/b/c"])
def test_an_unknown_name_is_refused_with_those_that_are_known(name):
    with pytest.raises(
        ConfigError, match=f"unknown model '{name}'; known: caption-bridge"
    ):
        load_clap(name)
