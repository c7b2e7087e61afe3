import dataclasses
import json
import math
import pickle

import pytest

from drcap.config import (
    PROFILES,
    CaptionerConfig,
    CLAPConfig,
    Config,
    DatasetsConfig,
    ExperimentsConfig,
    FrontEndConfig,
    GenerationConfig,
    RetrievalConfig,
    SoundscapesConfig,
    clap_profile,
    corpora_profile,
    experiments_profile,
    override,
    profile,
    recipe,
    soundscapes_profile,
)
from drcap.errors import ConfigError
from drcap.paths import CHECKPOINTS


@pytest.mark.parametrize("name", PROFILES)
def test_the_settings_of_a_profile_survive_json_and_pickle(name):
    for find in (profile, clap_profile, experiments_profile):
        config = find(name)
        content = json.dumps(config.to_dict())
        assert type(config).from_dict(json.loads(content)) == config
        assert pickle.loads(pickle.dumps(config)) == config
    sizes = soundscapes_profile(name)
    assert len(sizes.ac) == len(sizes.cl) == 3


def test_the_defaults_are_the_papers():
    config = Config()
    retrieval, captioner = config.retrieval, config.captioner
    assert (retrieval.top_k, retrieval.sim_min, retrieval.sim_max) == (3, 0.75, 0.85)
    assert (captioner.lora_r, captioner.lora_alpha) == (8, 32)
    assert captioner.lora_dropout == 0.05
    training = config.training
    assert (training.steps, training.batch_size) == (40_000, 4)
    assert (training.peak_learning_rate, training.warmup_steps) == (1e-5, 1_000)
    assert config.generation.num_beams == 4


def test_the_clap_defaults_are_the_papers():
    config = CLAPConfig()
    training, front_end = config.training, config.front_end
    assert (training.batch_size, training.epochs) == (256, 15)
    assert (training.warmup_epochs, training.peak_learning_rate) == (2, 5e-5)
    assert (front_end.sr, front_end.window, front_end.hop) == (32_000, 1_024, 320)
    assert (front_end.mels, front_end.low, front_end.high) == (64, 50, 14_000)
    assert config.text_encoder.model == "roberta-base"


def test_the_paper_profile_differs_by_its_language_model_alone():
    model = {"captioner": {"language_model": "lmsys/vicuna-7b-v1.5"}}
    assert profile("paper") == override(Config(), model)
    assert clap_profile("paper") == CLAPConfig()
    assert corpora_profile("paper") == DatasetsConfig()
    assert soundscapes_profile("paper") == SoundscapesConfig()
    shared = {"captioner": model}
    assert experiments_profile("paper") == override(ExperimentsConfig(), shared)


def test_a_profile_runs_on_procedural_corpora_or_on_the_real_datasets():
    assert corpora_profile("demo") == soundscapes_profile("demo")
    sample = corpora_profile("demo-real")
    assert sample.weak_clips == 20_000 and sample.soundvecaps == ()
    assert clap_profile("demo-real") == clap_profile("demo")
    assert recipe("demo").training == experiments_profile("demo").captioner.training


@pytest.mark.parametrize("find", [profile, corpora_profile, experiments_profile])
def test_an_unknown_profile_is_answered_with_the_known_ones(find):
    for name in ("huge", "paper-real"):
        with pytest.raises(ConfigError, match=f"unknown '{name}'; .* smoke, demo, p"):
            find(name)


def test_the_shipped_captioners_settings_are_read():
    content = json.loads((CHECKPOINTS / "audiocaps" / "config.json").read_text())
    config = Config.from_dict(content)
    assert config.captioner.lora_r == 16
    assert config.captioner.style == "ours"  # newer than that file


def test_part_of_a_configuration_keeps_the_rest():
    config = override(profile("demo"), {"training": {"steps": 4000}})
    assert config.training.steps == 4000
    unchanged = {"steps": profile("demo").training.steps}
    assert override(config, {"training": unchanged}) == profile("demo")


def test_a_configuration_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1


def test_whole_numbers_and_lists_of_json_take_the_annotated_type():
    values = {
        "projection": {"temperature": 1},
        "captioner": {"lora_targets": ["o_proj"]},
    }
    config = Config.from_dict(values)
    assert type(config.projection.temperature) is float
    assert config.captioner.lora_targets == ("o_proj",)


def test_the_front_end_counts_its_samples_and_frames():
    front_end = FrontEndConfig()
    assert (front_end.samples, front_end.frames) == (320_000, 1_001)
    assert FrontEndConfig(hop=1_280).frames == 251


# Each row: the nested values, and how the message begins that names the bad key.
UNKNOWN = [
    (Config, {"sed": 1}, "sed: unknown key; known here: clap, "),
    (Config, {"retrieval": {"topk": 1}}, "retrieval.topk: unknown key; known here: "),
    (Config, {"captioner": {"lora_rank": 8}}, "captioner.lora_rank: unknown key"),
    (CLAPConfig, {"training": {"spec_augment": {"on": 1}}}, "training.spec_augment.on"),
    (SoundscapesConfig, {"weaks": 10}, "weaks: unknown key; known here: seed, ac"),
    (DatasetsConfig, {"wavecaps": []}, "wavecaps: unknown key"),
]
WRONG_TYPE = [
    (Config, {"training": 3}, "training: expected keys and values, got 3"),
    (Config, [], r"config: expected keys and values, got \[\]"),
    (Config, {"seed": "0"}, "seed must be a valid integer; got '0'"),
    (Config, {"seed": True}, "seed must be a valid integer; got True"),
    (Config, {"seed": object()}, "seed must be a valid integer; got '<object"),
    (Config, {"clap": None}, "clap must be a valid string; got None"),
    (Config, {"training": {"steps": 1e3}}, "training.steps must be a valid integer"),
    (Config, {"retrieval": {"enabled": 1}}, "retrieval.enabled must be a valid bool"),
    (Config, {"retrieval": {"sim_min": "low"}}, "retrieval.sim_min must be a valid nu"),
    (Config, {"captioner": {"lora_targets": "q"}}, "captioner.lora_targets must be"),
    (Config, {"captioner": {"lora_targets": [1]}}, "captioner.lora_targets.0 must be"),
    (Config, {"captioner": {"attention": "fast"}}, "captioner.attention .*'sdpa'"),
    (SoundscapesConfig, {"ac": [1, 2, "3"]}, "ac.2 must be a valid integer; got '3'"),
]
IMPOSSIBLE = [
    (Config, {"seed": -1}, "seed must be greater than or equal to 0; got -1"),
    (Config, {"retrieval": {"sim_min": 0.9}}, "retrieval.sim_min must be at most sim_"),
    (Config, {"retrieval": {"sim_min": -1.1}}, "retrieval.sim_min must be greater"),
    (Config, {"retrieval": {"sim_max": math.nan}}, "retrieval.sim_max must be a finit"),
    (Config, {"captioner": {"lora_dropout": 1.0}}, "captioner.lora_dropout must be le"),
    (Config, {"training": {"micro_batch": 5}}, "training.micro_batch must be within"),
    (Config, {"training": {"warmup_steps": 40_001}}, "training.warmup_steps must be w"),
    (Config, {"generation": {"num_beams": 0}}, "generation.num_beams must be greater"),
    (CLAPConfig, {"front_end": {"high": 17e3}}, "front_end.low, high must rise within"),
    (CLAPConfig, {"front_end": {"seconds": 11.0}}, "front_end.* at most 1024 frames"),
    (
        CLAPConfig,
        {"audio_encoder": {"depths": [2]}},
        "audio_encoder.* one entry a stage",
    ),
    (CLAPConfig, {"audio_encoder": {"spectrogram_size": 128}}, ".*last stage, 4 patch"),
    (CLAPConfig, {"training": {"epochs": 1}}, "training.warmup_epochs must be within"),
    (ExperimentsConfig, {"retrieved": 2}, "retrieved must be top_k or more; got 2"),
    (ExperimentsConfig, {"steps_on_cl": 9}, "steps_on_cl must cover warmup_steps"),
    (ExperimentsConfig, {"baselines": {"wsac": {"heads": 5}}}, "baselines.wsac.width"),
    (DatasetsConfig, {"wavcaps": []}, "wavcaps must have at least 1 item"),
    (SoundscapesConfig, {"ac": [10, 2]}, "ac must be three counts above 0"),
    (SoundscapesConfig, {"leaked": 1.0}, "leaked must be in"),
]


@pytest.mark.parametrize("rows", [UNKNOWN, WRONG_TYPE, IMPOSSIBLE])
def test_a_bad_key_or_value_is_named_with_its_path(rows):
    for config, values, message in rows:
        with pytest.raises(ConfigError, match=f"^{message}"):
            override(config(), values)


def test_all_faults_of_a_configuration_are_told_in_one_line():
    values = {"seed": -1, "training": {"steps": 0}}
    with pytest.raises(
        ConfigError, match=r"^seed must .*; training.steps must [^\n]*$"
    ):
        Config.from_dict(values)


@pytest.mark.parametrize("section", ["training", "generation"])
def test_flash_attention_in_float32_is_refused(section):
    values = {"captioner": {"attention": "flash_attention_2"}}
    Config.from_dict(values)
    with pytest.raises(ConfigError, match=rf"{section}.dtype must be auto or bfloat16"):
        Config.from_dict(values | {section: {"dtype": "float32"}})


def test_a_configuration_is_checked_where_it_is_built_too():
    with pytest.raises(ConfigError, match="^choice must be 'first_beam' or 'mbr'"):
        GenerationConfig(choice="both")
    with pytest.raises(ConfigError, match="^pad: Unexpected keyword argument"):
        GenerationConfig(pad="left")
    with pytest.raises(ConfigError, match="^top_k must be greater than or equal to 0"):
        dataclasses.replace(RetrievalConfig(), top_k=-1)


def test_only_one_layer_can_start_from_a_fit():
    assert CaptionerConfig(mapper="two_layer").mapper_width == 2_048
    with pytest.raises(ConfigError, match='mapper_start must be "random" unless'):
        CaptionerConfig(mapper="two_layer", mapper_start="least_squares")


def test_the_authors_style_has_the_audio_behind_the_captions():
    with pytest.raises(ConfigError, match='audio_token must be "after_captions" where'):
        CaptionerConfig(style="authors", audio_token="first")
