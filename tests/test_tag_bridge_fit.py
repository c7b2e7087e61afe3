import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap import assets
from drcap.clap import audioset
from drcap.clap.tag_bridge_fit import TEMPERATURES, TEMPLATES, embed_names, fit, place
from drcap.clap.yamnet import YAMNet

CLASSES = ["Animal", "Bark", "Silence", "Rain", "Car", "Zither"]
PLAIN = ["animal", "dog barking", "silence", "rain", "car", "zither"]


class ToySentences:
    def encode(self, texts):
        return ToyCLAP().encode_text(texts)


def encode(texts):
    return ToySentences().encode(texts).double().numpy()


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def support():
    rows = encode(TOY_CAPTIONS)
    return unit(rows - rows.mean(0))


@pytest.fixture
def names():
    """The class names' embeddings by hand: plain words, templates, centred, unit."""
    each = [np.mean([encode([t.format(n)])[0] for t in TEMPLATES], 0) for n in PLAIN]
    return unit(each - np.mean(each, axis=0))


def projected(name, support, temperature):
    """Equation 4 of one name, in float64."""
    weights = np.exp(support @ name / temperature)
    return weights @ support / weights.sum()


def place_by_hand(name, support):
    """Take the smoothest projection within a tenth of the best cosine; scale it."""
    found = [projected(name, support, temperature) for temperature in TEMPERATURES]
    cosines = [unit(each) @ name for each in found]
    smoothest = next(
        n for n, cosine in enumerate(cosines) if cosine >= 0.9 * max(cosines)
    )
    return unit(found[smoothest]) * np.linalg.norm(found[0])


def test_names_are_embedded_in_plain_words_and_centred(names):
    found = embed_names(CLASSES, ToySentences())
    np.testing.assert_allclose(found, names, atol=1e-5)


def test_names_are_placed_among_captions_one_by_one(names, support):
    expected = [place_by_hand(name, support) for name in names]
    found = place(torch.tensor(names), torch.tensor(support))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_name_that_captions_speak_of_stays_near_itself(support):
    name = support[7]  # a caption's own embedding
    found = unit(place(torch.tensor(name[None]), torch.tensor(support)).numpy()[0])
    assert found @ name >= 0.7


def test_families_count_a_tenth_and_silence_nothing(names, support):
    tensors = fit(CLASSES, TOY_CAPTIONS, ToySentences())
    placed = np.array([place_by_hand(name, support) for name in names])
    weights = np.array([0.1, 1, 0, 1, 1, 1])[:, None]
    np.testing.assert_allclose(tensors["class_vectors"], weights * placed, atol=1e-5)
    mean = encode(TOY_CAPTIONS).mean(0)
    np.testing.assert_allclose(tensors["text_mean"], mean, atol=1e-6)


def test_a_repeated_caption_counts_once():
    once = fit(CLASSES, TOY_CAPTIONS, ToySentences())
    twice = fit(CLASSES, TOY_CAPTIONS + TOY_CAPTIONS[:20], ToySentences())
    torch.testing.assert_close(twice, once)


@pytest.mark.slow
def test_every_class_spoken_of_by_name_is_one_of_yamnets():
    known = set(YAMNet(assets.asset_path("yamnet")).class_names)
    spoken_of = {*audioset.PLAIN_NAMES, *audioset.UMBRELLAS, audioset.SILENCE}
    assert spoken_of | {audioset.FIRST_ANIMAL, audioset.LAST_ANIMAL} <= known
