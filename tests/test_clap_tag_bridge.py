import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from safetensors.torch import load_file

from drcap import assets, audio
from drcap.clap import tag_bridge, yamnet
from drcap.clap.tag_bridge import (
    FITTED,
    TEMPERATURES,
    TEMPLATES,
    TagBridge,
    embed_names,
    evidence,
    fit,
    place,
    pooled,
    save,
)
from drcap.errors import CheckpointError

CLASSES = ["Animal", "Dog", "Cat", "Whale vocalization", "Rain", "Silence"]
OVER_TIME = np.array(  # two patches of the six classes
    [[0.8, 0.9, 0.2, 0.0, 0.4, 0.0], [0.6, 0.1, 0.0, 0.0, 0.2, 0.5]], dtype=np.float32
)


class ToySentences:
    dim = ToyCLAP.dim

    def encode(self, texts):
        return ToyCLAP().encode_text(texts)


class ToyTagger:
    class_names = CLASSES

    def __init__(self, folder):
        pass

    def tag(self, waveform):
        return OVER_TIME


@pytest.fixture
def fitted(tmp_path):
    path = tmp_path / "fitted.safetensors"
    save(fit(CLASSES, TOY_CAPTIONS, ToySentences()), path)
    return path


@pytest.fixture
def doubles(monkeypatch):
    monkeypatch.setattr(tag_bridge, "YAMNet", ToyTagger)
    monkeypatch.setattr(tag_bridge, "SentenceEncoder", lambda source: ToySentences())
    monkeypatch.setattr(assets, "asset_path", lambda name: None)
    monkeypatch.setattr(assets, "resolve_model", lambda name: None)


@pytest.fixture
def bridge(fitted, doubles):
    return TagBridge(fitted)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_class_counts_half_by_its_mean_and_half_by_its_peak():
    expected = [0.75, 0.7, 0.15, 0.0, 0.35, 0.375]
    np.testing.assert_allclose(pooled(OVER_TIME), expected, rtol=1e-6)


def test_animals_are_scaled_by_their_prevalence_and_other_classes_are_not(bridge):
    # Of Dog, Cat and whale, means 0.5, 0.1 and 0, the dog prevails. Animal is a family.
    expected = [0.75, 0.7, 0.15 * 0.1 / 0.5, 0.0, 0.35, 0.375]
    assert bridge.animals.tolist() == [1, 2, 3]
    tags = evidence(OVER_TIME, bridge.animals)
    np.testing.assert_allclose(tags, expected, rtol=1e-6)


def test_without_an_animal_nothing_is_divided_by_zero(bridge):
    tags = evidence(np.zeros_like(OVER_TIME), bridge.animals)
    np.testing.assert_array_equal(tags, 0)


def test_evidence_becomes_unit_rows_by_its_powers(bridge):
    tags = torch.tensor([[0.0, 0.9, 0.5, 0.1, 0.0, 0.2], [0.1, 0, 0, 0.2, 0.6, 0]])
    expected = unit(tags.double().numpy() ** 1.5 @ bridge.class_vectors.numpy())
    np.testing.assert_allclose(bridge.embed(tags), expected, atol=1e-6)


def test_audio_is_embedded_by_its_evidence(bridge):
    waveform = np.zeros(16_000, np.float32)
    np.testing.assert_array_equal(bridge.tags(waveform), pooled(OVER_TIME))
    tags = torch.from_numpy(evidence(OVER_TIME, bridge.animals))
    expected = bridge.embed(tags[None]).expand(2, -1)
    torch.testing.assert_close(bridge.encode_audio([waveform] * 2), expected)
    assert bridge.encode_audio([]).shape == (0, bridge.dim)


def test_captions_are_centred_on_the_mean_of_those_fitted_to(bridge):
    rows = ToySentences().encode(TOY_CAPTIONS).double().numpy()
    expected = unit(rows - rows.mean(0))
    np.testing.assert_allclose(bridge.encode_text(TOY_CAPTIONS), expected, atol=1e-5)


def test_the_fingerprint_changes_with_the_fitted_file(bridge, tmp_path):
    other = tmp_path / "other.safetensors"
    save(fit(CLASSES, TOY_CAPTIONS[:30], ToySentences()), other)
    assert TagBridge(other).fingerprint != bridge.fingerprint
    save(fit(CLASSES, TOY_CAPTIONS, ToySentences()), other)
    assert TagBridge(other).fingerprint == bridge.fingerprint


@pytest.mark.parametrize("content", [None, b"", b"damaged"])
def test_a_fitted_file_that_cannot_be_read_is_named(doubles, tmp_path, content):
    path = tmp_path / "fitted.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{path}: not a fitted tag bridge"):
        TagBridge(path)


def test_the_shipped_fit_has_a_vector_a_class():
    tensors = load_file(FITTED)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == {"class_vectors": (521, 384), "text_mean": (384,)}
    assert tensors["class_vectors"].norm(dim=-1).max() <= 1


# the fit


NAMED = ["Animal", "Bark", "Silence", "Rain", "Car", "Zither"]
PLAIN = ["animal", "dog barking", "silence", "rain", "car", "zither"]


def encode_toy(texts):
    return ToySentences().encode(texts).double().numpy()


@pytest.fixture
def support():
    rows = encode_toy(TOY_CAPTIONS)
    return unit(rows - rows.mean(0))


@pytest.fixture
def names():
    """The class names' embeddings by hand: plain words, templates, centred, unit."""
    prompts = [[template.format(name) for template in TEMPLATES] for name in PLAIN]
    rows = [encode_toy(texts).mean(0) for texts in prompts]
    return unit(rows - np.mean(rows, axis=0))


def projected(name, support, temperature):
    """Equation 4 of one name, in float64."""
    weights = np.exp(support @ name / temperature)
    return weights @ support / weights.sum()


def place_by_hand(name, support):
    """Take the smoothest projection within a tenth of the best cosine; scale it."""
    rows = [projected(name, support, temperature) for temperature in TEMPERATURES]
    cosines = [unit(row) @ name for row in rows]
    smoothest = next(n for n, c in enumerate(cosines) if c >= 0.9 * max(cosines))
    return unit(rows[smoothest]) * np.linalg.norm(rows[0])


def test_names_are_embedded_in_plain_words_and_centred(names):
    embedded = embed_names(NAMED, ToySentences())
    np.testing.assert_allclose(embedded, names, atol=1e-5)


def test_names_are_placed_among_captions_one_by_one(names, support):
    expected = [place_by_hand(name, support) for name in names]
    placed = place(torch.tensor(names), torch.tensor(support))
    np.testing.assert_allclose(placed, expected, atol=1e-5)


def test_a_name_that_captions_speak_of_stays_near_itself(support):
    name = support[7]  # a caption's own embedding
    placed = place(torch.tensor(name[None]), torch.tensor(support)).numpy()[0]
    assert unit(placed) @ name >= 0.7


def test_families_count_a_tenth_and_silence_nothing(names, support):
    tensors = fit(NAMED, TOY_CAPTIONS, ToySentences())
    placed = np.array([place_by_hand(name, support) for name in names])
    weights = np.array([0.1, 1, 0, 1, 1, 1])[:, None]
    np.testing.assert_allclose(tensors["class_vectors"], weights * placed, atol=1e-5)
    mean = encode_toy(TOY_CAPTIONS).mean(0)
    np.testing.assert_allclose(tensors["text_mean"], mean, atol=1e-6)


def test_a_repeated_caption_counts_once():
    once = fit(NAMED, TOY_CAPTIONS, ToySentences())
    twice = fit(NAMED, TOY_CAPTIONS + TOY_CAPTIONS[:20], ToySentences())
    torch.testing.assert_close(twice, once)


@pytest.mark.slow
def test_every_class_spoken_of_by_name_is_one_of_yamnets():
    known = set(yamnet.YAMNet(assets.asset_path("yamnet")).class_names)
    spoken_of = {*yamnet.PLAIN_NAMES, *yamnet.UMBRELLAS, yamnet.SILENCE}
    assert spoken_of | {"Animal", "Whale vocalization"} <= known


# the shipped bridge


@pytest.fixture(scope="module")
def real():
    return TagBridge()


@pytest.mark.slow
def test_only_the_silence_of_the_shipped_fit_says_nothing(real):
    lengths = real.class_vectors.norm(dim=-1)
    silent = (lengths == 0).nonzero().flatten().tolist()
    assert [real.tagger.class_names[index] for index in silent] == ["Silence"]


@pytest.mark.slow
def test_a_recorded_dog_is_nearest_to_the_caption_of_a_dog(real):
    captions = [
        "A dog barks",
        "A cat meows",
        "Rain falls on a roof",
        "An engine idles",
        "A man gives a speech",
        "Birds chirp in a forest",
    ]
    recording = assets.asset_path("animal-recordings") / "dog.mp3"
    embedding = real.encode_audio([audio.load(recording, real.sr)])
    similarities = embedding @ real.encode_text(captions).T
    assert captions[similarities.argmax()] == "A dog barks"
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(1))
