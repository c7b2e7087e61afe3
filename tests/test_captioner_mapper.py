import pytest
import torch
from torch.nn import functional as F

from drcap.captioner.mapper import untrained_mapper
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
    shapes = {name: tuple(each.shape) for name, each in weights.items()}
    assert shapes == {"weight": (H, D), "bias": (H,)}


def test_the_authors_mapper_is_two_layers_with_a_relu_between():
    two = mapper("two_layer")
    weights = two.state_dict()
    assert {name: tuple(each.shape) for name, each in weights.items()} == {
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
    found = {name for name in captioner.trainable() if name.startswith("mapper.")}
    assert found == expected
    captioner.save(tmp_path)
    loaded = Captioner.load(tmp_path, D, config, torch.float32)
    torch.testing.assert_close(loaded.mapper(EMBEDDINGS), captioner.mapper(EMBEDDINGS))
