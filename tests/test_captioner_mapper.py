import copy

import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from torch.nn import functional as F

from drcap.captioner.mapper import RIDGE, fit_mapper, mean_words, untrained_mapper
from drcap.captioner.model import Captioner
from drcap.config import CaptionerConfig

D, H, WIDTH = 24, 32, 2_000
EMBEDDINGS = F.normalize(torch.randn(400, D, generator=torch.Generator()), dim=1)
TOKENS = 0.02 * torch.randn(100, H, generator=torch.Generator())


def mapper(kind):
    torch.manual_seed(0)
    config = CaptionerConfig(mapper=kind, mapper_width=WIDTH)
    return untrained_mapper(config, D, TOKENS)


def test_the_papers_mapper_is_one_layer():
    weights = mapper("linear").state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
    assert shapes == {"weight": (H, D), "bias": (H,)}


def test_the_authors_mapper_is_two_layers_with_a_relu_between():
    two = mapper("two_layer")
    weights = two.state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {
        **{"0.weight": (WIDTH, D), "0.bias": (WIDTH,)},
        **{"2.weight": (H, WIDTH), "2.bias": (H,)},
    }
    weights["0.bias"].normal_()  # in place, so in the mapper too
    inner = (EMBEDDINGS @ weights["0.weight"].T + weights["0.bias"]).clamp(min=0)
    by_hand = inner @ weights["2.weight"].T + weights["2.bias"]
    torch.testing.assert_close(two(EMBEDDINGS), by_hand)


@pytest.mark.parametrize("kind", ["linear", "two_layer"])
def test_an_untrained_mapper_gives_vectors_of_a_tokens_size(kind):
    ratio = mapper(kind)(EMBEDDINGS).std() / TOKENS.std()
    assert 0.9 < ratio < 1.1


def test_a_captioner_with_two_layers_is_trained_saved_and_loaded(
    language_model, tmp_path
):
    config = CaptionerConfig(language_model, mapper="two_layer", mapper_width=12)
    captioner = Captioner.create(D, config, torch.float32).eval()
    expected = {f"mapper.{n}.{kind}" for n in (0, 2) for kind in ("weight", "bias")}
    trained = {name for name in captioner.trainable() if name.startswith("mapper.")}
    assert trained == expected
    captioner.save(tmp_path)
    loaded = Captioner.load(tmp_path, D, config, torch.float32)
    torch.testing.assert_close(loaded.mapper(EMBEDDINGS), captioner.mapper(EMBEDDINGS))


# the least-squares start


@pytest.fixture
def captioner(language_model):
    torch.manual_seed(0)
    return Captioner.create(32, CaptionerConfig(language_model), torch.float32)


@pytest.fixture(scope="module")
def embeddings():
    return ToyCLAP().encode_text(TOY_CAPTIONS)


def test_the_words_of_a_caption_are_averaged_the_rare_ones_counting_more(captioner):
    captions = ["Rain is heard", "Rain is heard nearby", "A dog is heard"]
    means = mean_words(captioner, captions)
    table = captioner.llm.get_input_embeddings().weight.detach()
    assert means.norm(dim=1).mean() == pytest.approx(table.norm(dim=1).mean().item())
    [nearby] = captioner.prompts._tokens("nearby")
    [rain] = captioner.prompts._tokens("Rain")
    expected = torch.log(torch.tensor(3.0)) * table[nearby]
    expected = expected + torch.log(torch.tensor(1.5)) * table[rain]
    assert F.cosine_similarity(means[1], expected, dim=0) > 0.999


def test_the_fit_is_where_gradient_descent_would_end(captioner, embeddings):
    words = mean_words(captioner, TOY_CAPTIONS)
    start = captioner.mapper.weight.detach().clone()
    slow = copy.deepcopy(captioner.mapper).requires_grad_(True)
    optimiser = torch.optim.LBFGS(slow.parameters(), max_iter=500)

    def loss():
        optimiser.zero_grad()
        total = ((slow(embeddings) - words) ** 2).sum()
        total = total + RIDGE * ((slow.weight - start) ** 2).sum()
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
