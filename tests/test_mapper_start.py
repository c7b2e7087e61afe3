import copy

import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from torch.nn import functional as F

from drcap.captioner import mapper_start
from drcap.captioner.mapper_start import fit_mapper, mean_words
from drcap.captioner.model import Captioner
from drcap.config import CaptionerConfig


@pytest.fixture
def captioner(language_model):
    torch.manual_seed(0)
    return Captioner.create(32, CaptionerConfig(language_model), torch.float32)


@pytest.fixture(scope="module")
def embeddings():
    return ToyCLAP().encode_text(TOY_CAPTIONS)


def test_the_words_of_a_caption_are_averaged_the_rare_ones_counting_more(captioner):
    captions = ["Rain is heard", "Rain is heard nearby", "A dog is heard"]
    found = mean_words(captioner, captions)
    table = captioner.llm.get_input_embeddings().weight.detach()
    assert found.norm(dim=1).mean() == pytest.approx(table.norm(dim=1).mean().item())
    [nearby] = captioner.prompts._tokens("nearby")
    [rain] = captioner.prompts._tokens("Rain")
    expected = torch.log(torch.tensor(3.0)) * table[nearby]
    expected = expected + torch.log(torch.tensor(1.5)) * table[rain]
    assert F.cosine_similarity(found[1], expected, dim=0) > 0.999


def test_the_fit_is_where_gradient_descent_would_end(
    captioner, embeddings, monkeypatch
):
    monkeypatch.setattr(mapper_start, "RIDGE", 0.3)
    words = mean_words(captioner, TOY_CAPTIONS)
    start = captioner.mapper.weight.detach().clone()
    slow = copy.deepcopy(captioner.mapper).requires_grad_(True)
    optimiser = torch.optim.LBFGS(slow.parameters(), max_iter=500)

    def loss():
        optimiser.zero_grad()
        total = ((slow(embeddings) - words) ** 2).sum()
        total = total + 0.3 * ((slow.weight - start) ** 2).sum()
        total.backward()
        return total

    for _ in range(5):
        optimiser.step(loss)
    fit_mapper(captioner, embeddings, TOY_CAPTIONS)
    torch.testing.assert_close(captioner.mapper.weight, slow.weight, atol=1e-3, rtol=0)
    torch.testing.assert_close(captioner.mapper.bias, slow.bias, atol=1e-3, rtol=0)


def test_directions_that_no_text_embedding_takes_keep_the_random_weights(captioner):
    flat = torch.zeros(len(TOY_CAPTIONS), 32)
    flat[:, :8] = torch.randn(len(TOY_CAPTIONS), 8, generator=torch.Generator())
    before = captioner.mapper.weight.detach().clone()
    fit_mapper(captioner, flat, TOY_CAPTIONS)
    after = captioner.mapper.weight.detach()
    torch.testing.assert_close(after[:, 8:], before[:, 8:], atol=1e-5, rtol=0)
    assert (after[:, :8] - before[:, :8]).abs().max() > 0.01
