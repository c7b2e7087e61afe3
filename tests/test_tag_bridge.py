import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from safetensors.torch import load_file

from drcap import assets, audio
from drcap.clap import load_clap, tag_bridge
from drcap.clap.tag_bridge import FITTED, TagBridge, evidence, pooled
from drcap.clap.tag_bridge_fit import fit, save
from drcap.errors import CheckpointError, ConfigError

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
    heard = evidence(OVER_TIME, bridge.animals)
    np.testing.assert_allclose(heard, expected, rtol=1e-6)


def test_where_no_animal_is_heard_nothing_is_divided_by_zero(bridge):
    heard = evidence(np.zeros_like(OVER_TIME), bridge.animals)
    np.testing.assert_array_equal(heard, 0)


def test_evidence_becomes_unit_rows_by_its_powers(bridge):
    heard = torch.tensor([[0.0, 0.9, 0.5, 0.1, 0.0, 0.2], [0.1, 0, 0, 0.2, 0.6, 0]])
    expected = unit(heard.double().numpy() ** 1.5 @ bridge.class_vectors.numpy())
    np.testing.assert_allclose(bridge.embed(heard), expected, atol=1e-6)


def test_audio_is_embedded_by_its_evidence(bridge):
    waveform = np.zeros(16_000, np.float32)
    np.testing.assert_array_equal(bridge.tags(waveform), pooled(OVER_TIME))
    heard = torch.from_numpy(evidence(OVER_TIME, bridge.animals))
    expected = bridge.embed(heard[None]).expand(2, -1)
    torch.testing.assert_close(bridge.encode_audio([waveform] * 2), expected)


def test_captions_are_centred_on_the_mean_of_those_fitted_to(bridge):
    rows = ToySentences().encode(TOY_CAPTIONS).double().numpy()
    expected = unit(rows - rows.mean(0))
    np.testing.assert_allclose(bridge.encode_text(TOY_CAPTIONS), expected, atol=1e-5)


def test_no_recordings_give_no_rows(bridge):
    assert bridge.encode_audio([]).shape == (0, bridge.dim)


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


def test_an_unknown_model_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown model 'laion'; known: tag-bridge"):
        load_clap("laion")


def test_the_shipped_fit_has_a_vector_a_class():
    tensors = load_file(FITTED)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert shapes == {"class_vectors": (521, 384), "text_mean": (384,)}
    assert tensors["class_vectors"].norm(dim=-1).max() <= 1


@pytest.fixture(scope="module")
def real():
    return load_clap()


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
