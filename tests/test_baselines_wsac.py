"""WSAC reads one token; its bridges are the formulas'; its decoder is its own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles_baselines import toy_config, toy_space, toy_train_set
from doubles_experiments import clips_of

from drcap.baselines import ClipBatch
from drcap.baselines.wsac import WSAC, OneTokenCaptioner, SharedWSAC
from drcap.config import override


@pytest.fixture(scope="module")
def wsac(tmp_path_factory, language_model):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("wsac")
        patch.setenv("DRCAP_HOME", str(folder))
        system = WSAC(toy_space())
        train_set = toy_train_set(folder)
        shift = {"baselines": {"wsac": {"bridge": "shift"}}}
        config = override(toy_config(language_model), shift)
        system.fit(train_set, config, folder / "run", progress=False)
        batch = ClipBatch(tuple(clips_of(folder, "ac", "test", 3)), [])
        yield system, batch


def bridged(system, batch, bridge):
    captioner = system.captioner
    captioner.settings = replace(captioner.settings, bridge=bridge)
    return system.inputs(batch)


def test_the_prompt_is_one_soft_token(wsac):
    prompt = wsac[0].captioner.prompts.prompt([])
    start = wsac[0].captioner.prompts.start
    assert len(prompt.ids) == len(start) + 1 and prompt.slot == len(start)


def test_every_weight_of_the_decoder_is_its_own(wsac, language_model):
    assert wsac[0].captioner.llm.config.hidden_size == 16
    config = toy_config(language_model)
    trained = wsac[0].captioner_class.create(
        32, wsac[0].recipe(config).captioner, torch.float32, config.baselines.wsac
    )
    assert all(weight.requires_grad for weight in trained.parameters())


def test_the_bridges_are_the_formulas(wsac):
    system, batch = wsac
    audio = system.space.audio(batch.clips)
    memory = torch.from_numpy(system.space.text(system.captions))
    torch.testing.assert_close(bridged(system, batch, "audio"), audio)
    nearest = memory[(audio @ memory.T).argmax(1)]
    torch.testing.assert_close(bridged(system, batch, "nearest"), nearest)
    weights = (audio @ memory.T / system.space.clap.temperature).softmax(1)
    projected = torch.nn.functional.normalize(weights @ memory)
    found = bridged(system, batch, "projection")
    torch.testing.assert_close(found, projected, atol=1e-5, rtol=1e-4)
    moved = audio - torch.tensor(system.audio_mean) + memory.mean(0)
    shifted = torch.nn.functional.normalize(moved)
    torch.testing.assert_close(
        bridged(system, batch, "shift"), shifted, atol=1e-5, rtol=1e-4
    )


def test_the_shift_is_known_from_training_recordings(wsac):
    system, _ = wsac
    assert np.isfinite(system.audio_mean).all() and len(system.audio_mean) == 32


def test_shared_wsac_has_the_grids_language_model_and_schedule(language_model):
    config = toy_config(language_model)
    recipe = SharedWSAC(toy_space()).recipe(config)
    assert recipe == override(config.captioner, {"retrieval": {"enabled": False}})
    assert SharedWSAC.captioner_class is OneTokenCaptioner
