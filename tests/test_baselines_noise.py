"""Noise moves embeddings in training alone, the same way each time."""

import pytest
import torch
from doubles import TOY_CAPTIONS
from doubles_baselines import toy_space
from torch.nn import functional as F

from drcap.baselines.noise import NoisyExamples, with_noise
from drcap.captioner.prompt import PromptBuilder
from drcap.config import CaptionerConfig, RetrievalConfig


@pytest.fixture
def examples(language_model, tmp_path, monkeypatch):
    from transformers import AutoTokenizer

    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    prompts = PromptBuilder(tokenizer, CaptionerConfig())
    datastore = toy_space().datastore
    made = NoisyExamples(
        TOY_CAPTIONS, datastore, prompts, RetrievalConfig(enabled=False)
    )
    made.variance = 0.01
    return made


def test_the_noise_has_the_variance_asked_for():
    rows = F.normalize(torch.randn(200, 512), dim=1)
    moved = with_noise(rows, 1e-4, 0, range(200))
    # at this size the norm stays 1 to within the noise itself
    grown = (1 + 512 * 1e-4) ** 0.5
    assert (moved * grown - rows).var().item() == pytest.approx(1e-4, rel=0.05)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(200))


def test_no_variance_is_no_noise():
    rows = F.normalize(torch.randn(5, 8), dim=1)
    torch.testing.assert_close(with_noise(rows, 0.0, 0, range(5)), rows)


def test_training_moves_and_validation_does_not(examples):
    plain = examples.inputs([0, 1])
    torch.testing.assert_close(plain, examples.embeddings[:2])
    assert not torch.allclose(examples.inputs([0, 1], seed=3), plain, atol=1e-3)
    validated = next(examples.in_order(2, seed=3)).embeddings
    torch.testing.assert_close(validated, plain)
    trained = next(examples.epoch(2, seed=3, epoch=0, limit=1)).embeddings
    away = torch.cdist(trained, examples.embeddings).min(dim=1).values
    assert (away > 1e-2).all()


def test_the_draw_follows_from_seed_and_example(examples):
    first = examples.inputs([4, 7], seed=1)
    torch.testing.assert_close(first, examples.inputs([4, 7], seed=1))
    assert not torch.allclose(first, examples.inputs([4, 7], seed=2))
