"""Codes of recordings: of the quantiser trained here, and of transformers' EnCodec."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles_systems import toy_space, toy_training_set
from transformers import EncodecConfig, EncodecModel

from drcap import audio
from drcap.config import EnCLAPConfig
from drcap.errors import ConfigError
from drcap.systems.codec import LogMelCodec, PretrainedCodec

SMALL = EnCLAPConfig(codec="", codebooks=3, bits=3, frames=4)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))


@pytest.fixture
def clips(tmp_path):
    return toy_training_set(tmp_path / "clips").clips


@pytest.fixture(scope="module")
def encodec(tmp_path_factory):
    """A random EnCodec: 3 codebooks of 16 at 100 tokens a second of 16 kHz."""
    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=16_000,
        target_bandwidths=[0.4, 1.2],
        upsampling_ratios=[8, 5, 4],
        num_filters=4,
        hidden_size=8,
        codebook_size=16,
        codebook_dim=8,
        num_lstm_layers=1,
    )
    folder = tmp_path_factory.mktemp("codec") / "encodec"
    EncodecModel(config).save_pretrained(folder)
    return str(folder)


def pretrained(encodec, **changes):
    settings = EnCLAPConfig(codec=encodec, codebooks=2, bits=4, frames=5)
    return PretrainedCodec(toy_space(), replace(settings, **changes))


def test_a_code_is_the_nearest_to_what_those_before_it_left(clips, tmp_path):
    codec = LogMelCodec(toy_space(), SMALL)
    codec.fit(clips, 0, tmp_path / "run")
    codes, left = codec.encode(clips), codec.tokens(clips)
    assert codes.shape == (12, codec.length, 3) and codes.dtype == np.int64
    assert codec.length == 30 // 4 and codes.min() >= 0 and codes.max() < 8
    errors = [(left**2).mean()]
    for q, book in enumerate(codec.centroids()):
        distances = ((left[..., None, :] - book) ** 2).sum(-1)
        assert (distances.argmin(-1) == codes[..., q]).mean() > 0.99
        left = left - book[codes[..., q]]
        errors.append((left**2).mean())
    assert errors == sorted(errors, reverse=True)  # each codebook leaves less


def test_a_trained_codec_is_that_of_the_seed_and_is_read_again(clips, tmp_path):
    codec, again, loaded = (LogMelCodec(toy_space(), SMALL) for _ in range(3))
    for each, folder in ((codec, "one"), (again, "other")):
        each.fit(clips, 0, tmp_path / folder)
    np.testing.assert_array_equal(codec.centroids(), again.centroids())
    loaded.load(tmp_path / "one")
    np.testing.assert_array_equal(codec.encode(clips), loaded.encode(clips))


def test_a_named_codec_gives_its_first_codebooks_once(encodec, clips, monkeypatch):
    codec = pretrained(encodec)
    codes = codec.encode(clips)
    assert codes.shape == (12, 300, 2) == (12, codec.length, codec.codebooks)
    wave = audio.fit_length(audio.load(clips[1].path, 16_000), 48_000)
    model = EncodecModel.from_pretrained(encodec).eval()
    with torch.inference_mode():
        expected = model.encode(torch.tensor(wave)[None, None], bandwidth=1.2)
    np.testing.assert_array_equal(codes[1], expected.audio_codes[0, 0, :2].T)
    monkeypatch.setattr(codec, "_codes", None)
    np.testing.assert_array_equal(codec.encode(clips), codes)


def test_a_codec_of_another_shape_is_refused(encodec):
    for changes in ({"bits": 5}, {"bits": 3}, {"codebooks": 33}):
        with pytest.raises(ConfigError, match="codebooks of 16"):
            pretrained(encodec, **changes)
