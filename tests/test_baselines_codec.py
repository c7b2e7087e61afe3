"""Codes of recordings: of the quantiser trained here, and of transformers' EnCodec."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles_baselines import toy_config, toy_space, toy_train_set
from transformers import EncodecConfig, EncodecModel

from drcap import audio
from drcap.baselines.codec import LogMelCodec, PretrainedCodec, make_codec
from drcap.config import EnCLAPConfig
from drcap.errors import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))


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


@pytest.fixture
def clips(tmp_path):
    return toy_train_set(tmp_path / "clips").clips[:3]


def settings(codec, **changes):
    return replace(EnCLAPConfig(codec=codec, codebooks=2, bits=4, frames=5), **changes)


def test_no_name_means_a_codec_that_is_trained_here(clips, tmp_path, language_model):
    codec = make_codec(toy_space(), toy_config(language_model).baselines.enclap)
    assert isinstance(codec, LogMelCodec)
    codec.fit(clips, 0, tmp_path / "run")
    codes = codec.encode(clips)
    assert codes.shape == (3, codec.length, codec.codebooks)
    again = make_codec(toy_space(), toy_config(language_model).baselines.enclap)
    again.fit((), 0, tmp_path / "run")  # nothing is left to train
    np.testing.assert_array_equal(again.encode(clips), codes)


def test_a_named_codec_gives_its_first_codebooks(encodec, clips):
    codec = make_codec(toy_space(), settings(encodec))
    assert isinstance(codec, PretrainedCodec) and codec.length == 300
    codes = codec.encode(clips)
    assert codes.shape == (3, 300, 2)
    wave = np.pad(audio.load(clips[1].path, 16_000), (0, 32_000))[:48_000]
    model = EncodecModel.from_pretrained(encodec).eval()
    with torch.inference_mode():
        found = model.encode(torch.tensor(wave)[None, None], bandwidth=1.2)
    np.testing.assert_array_equal(codes[1], found.audio_codes[0, 0, :2].T)


def test_codes_are_computed_once(encodec, clips, monkeypatch):
    codec = make_codec(toy_space(), settings(encodec))
    codes = codec.encode(clips)
    monkeypatch.setattr(codec, "_codes", None)
    np.testing.assert_array_equal(codec.encode(clips), codes)


@pytest.mark.parametrize("changes", [{"bits": 5}, {"bits": 3}, {"codebooks": 33}])
def test_a_codec_of_another_shape_is_refused(encodec, changes):
    with pytest.raises(ConfigError, match="codebooks of 16"):
        make_codec(toy_space(), settings(encodec, **changes))
