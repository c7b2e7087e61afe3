"""Settings of the CLAP model and of the procedural corpora."""

import json

import pytest

from drcap.config import (
    PROFILES,
    CLAPConfig,
    DatasetsConfig,
    FrontEndConfig,
    SoundscapesConfig,
    clap_profile,
    corpora_profile,
    override,
    soundscapes_profile,
)
from drcap.errors import ConfigError


@pytest.mark.parametrize("name", PROFILES)
def test_a_clap_profile_survives_json(name):
    config = clap_profile(name)
    assert CLAPConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_corpora(name):
    sizes = soundscapes_profile(name)
    assert len(sizes.ac) == len(sizes.cl) == 3


def test_the_clap_defaults_are_the_papers():
    config = clap_profile("paper")
    assert config == CLAPConfig()
    training, front_end = config.training, config.front_end
    assert (training.batch_size, training.epochs, training.warmup_epochs) == (
        256,
        15,
        2,
    )
    assert training.peak_learning_rate == 5e-5
    assert (front_end.sr, front_end.window, front_end.hop) == (32_000, 1_024, 320)
    assert (front_end.mels, front_end.low, front_end.high) == (64, 50, 14_000)
    assert config.text_encoder.model == "roberta-base"


def test_the_paper_corpora_have_the_sizes_of_the_real_ones():
    sizes = soundscapes_profile("paper")
    assert sizes.ac == (49_274, 494, 957)
    assert sizes.cl == (3_839, 1_045, 1_045)


def test_the_front_end_counts_its_samples_and_frames():
    front_end = FrontEndConfig()
    assert (front_end.samples, front_end.frames) == (320_000, 1_001)
    assert FrontEndConfig(hop=1_280).frames == 251


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dims": 3}, "dims: unknown key"),
        ({"front_end": {"hops": 3}}, "front_end.hops: unknown key"),
        ({"training": {"spec_augment": {"on": True}}}, "training.spec_augment.on: un"),
        ({"dim": 0}, "dim must be above 0"),
        ({"temperature": -0.1}, "temperature must be above 0"),
        ({"front_end": {"high": 17_000}}, "front_end.low, high must rise within"),
        ({"front_end": {"hop": 0}}, "front_end.hop must be above 0"),
        ({"front_end": {"seconds": 11.0}}, "give at most 1024 frames"),
        ({"audio_encoder": {"depths": [2, 2]}}, "have one entry a stage"),
        ({"audio_encoder": {"width": "wide"}}, "audio_encoder.width: expected int"),
        ({"audio_encoder": {"spectrogram_size": 128}}, "fit in the last stage, 4 "),
        ({"text_encoder": {"pooling": "last"}}, "text_encoder.pooling"),
        ({"text_encoder": {"max_tokens": 2}}, "text_encoder.max_tokens must be above"),
        ({"training": {"epochs": 1}}, "training.warmup_epochs must be within epochs"),
        ({"training": {"micro_batch": 0}}, "training.micro_batch must be above 0"),
        ({"training": {"peak_learning_rate": float("nan")}}, "peak_learning_rate must"),
    ],
)
def test_an_impossible_clap_setting_is_an_error(values, message):
    with pytest.raises(ConfigError, match=message):
        CLAPConfig.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ac": [10, 2]}, "ac must be three counts above 0"),
        ({"cl": [10, 2, 0]}, "cl must be three counts above 0"),
        ({"weak": 0}, "weak must be above 0"),
        ({"leaked": 1.0}, "leaked must be in"),
        ({"weaks": 10}, "weaks: unknown key"),
    ],
)
def test_impossible_corpora_are_an_error(values, message):
    with pytest.raises(ConfigError, match=message):
        override(SoundscapesConfig(), values)


@pytest.mark.parametrize("find", [clap_profile, soundscapes_profile])
def test_an_unknown_profile_names_the_known_ones(find):
    with pytest.raises(ConfigError, match="unknown 'huge'; .* smoke, demo, paper"):
        find("huge")


def test_a_profile_runs_on_procedural_corpora_or_on_the_real_datasets():
    assert corpora_profile("demo") == soundscapes_profile("demo")
    assert corpora_profile("paper") == DatasetsConfig()
    sample = corpora_profile("demo-real")
    assert sample.weak_clips == 20_000 and sample.soundvecaps == ()
    assert clap_profile("demo-real") == clap_profile("demo")
    with pytest.raises(ConfigError, match="unknown 'paper-real'"):
        corpora_profile("paper-real")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"wavcaps": []}, "wavcaps must name a source or more"),
        ({"weak_clips": 0}, "weak_clips must be above 0, or null"),
        ({"seed": -1}, "seed must be 0 or more"),
        ({"wavecaps": []}, "wavecaps: unknown key"),
    ],
)
def test_an_impossible_choice_of_datasets_is_an_error(values, message):
    with pytest.raises(ConfigError, match=message):
        override(DatasetsConfig(), values)
