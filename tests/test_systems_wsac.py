"""WSAC reads one token, and its bridges are the formulas'."""

from dataclasses import replace

import pytest
import torch
from doubles_systems import fitted_system, toy_config, toy_space
from torch.nn import functional as F

from drcap.config import override
from drcap.systems.wsac import NoisyDRCap, OneTokenCaptioner, SharedWSAC


@pytest.fixture(scope="module")
def wsac(tmp_path_factory, language_model):
    folder = tmp_path_factory.mktemp("wsac")
    with fitted_system("wsac", folder, language_model) as (system, _, batch, _):
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
    memory = torch.from_numpy(system.space.text(system.memory))
    torch.testing.assert_close(bridged(system, batch, "audio"), audio)
    nearest = memory[(audio @ memory.T).argmax(1)]
    torch.testing.assert_close(bridged(system, batch, "nearest"), nearest)
    weights = (audio @ memory.T / system.space.clap.temperature).softmax(1)
    close = {"atol": 1e-5, "rtol": 1e-4}
    projected = F.normalize(weights @ memory)
    torch.testing.assert_close(bridged(system, batch, "projection"), projected, **close)
    shifted = F.normalize(audio - audio.mean(0) + memory.mean(0))
    torch.testing.assert_close(bridged(system, batch, "shift"), shifted, **close)


def test_the_other_two_have_the_grids_language_model_and_schedule(language_model):
    config = toy_config(language_model)
    recipe = SharedWSAC(toy_space()).recipe(config)
    assert recipe == override(config.captioner, {"retrieval": {"enabled": False}})
    assert SharedWSAC.captioner_class is OneTokenCaptioner
    noisy = NoisyDRCap.in_space(toy_space())
    plain = override(config.captioner, {"projection": {"enabled": False}})
    assert noisy.recipe(config) == noisy.adjusted(config.captioner).config == plain
