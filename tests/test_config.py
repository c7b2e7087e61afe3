import dataclasses
import json

import pytest

from drcap.config import (
    PROFILES,
    CaptionerConfig,
    Config,
    GenerationConfig,
    experiments_profile,
    override,
    profile,
)
from drcap.errors import ConfigError


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_survives_json(name):
    config = profile(name)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config


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


def test_the_paper_profile_names_only_its_language_model():
    model = {"captioner": {"language_model": "lmsys/vicuna-7b-v1.5"}}
    assert profile("paper") == override(Config(), model)


def test_an_unknown_profile_is_answered_with_the_known_ones():
    with pytest.raises(ConfigError, match="unknown 'huge'; .* smoke, demo, paper"):
        profile("huge")


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


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"sed": 1}, "sed"),
        ({"retrieval": {"topk": 1}}, "retrieval.topk"),
        ({"projection": {"tau": 1.0}}, "projection.tau"),
        ({"captioner": {"lora_rank": 8}}, "captioner.lora_rank"),
        ({"training": {"stepz": 10}}, "training.stepz"),
        ({"generation": {"beams": 4}}, "generation.beams"),
    ],
)
def test_an_unknown_key_is_named_with_its_path(values, path):
    with pytest.raises(ConfigError, match=rf"^{path}: unknown key; known here: \w+, "):
        Config.from_dict(values)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"training": 3}, "training: expected keys and values, got 3"),
        ([], r"config: expected keys and values, got \[\]"),
        ({"seed": "0"}, "seed: expected int, got '0'"),
        ({"seed": True}, "seed: expected int, got True"),
        ({"seed": None}, "seed: expected int, got None"),
        ({"clap": None}, "clap: expected str, got None"),
        ({"captions": "all"}, r"captions: expected int \| None, got 'all'"),
        ({"training": {"steps": 1e3}}, "training.steps: expected int, got 1000.0"),
        ({"retrieval": {"enabled": 1}}, "retrieval.enabled: expected bool, got 1"),
        ({"retrieval": {"sim_min": "low"}}, "retrieval.sim_min: expected float"),
        (
            {"projection": {"temperature": "hot"}},
            r"projection.temperature: expected float \| None, got 'hot'",
        ),
        ({"captioner": {"lora_targets": "q"}}, "captioner.lora_targets: expected tup"),
        ({"captioner": {"lora_targets": [1]}}, "captioner.lora_targets: expected tup"),
        ({"captioner": {"audio_token": 1}}, "captioner.audio_token: .*first"),
        ({"captioner": {"attention": "fast"}}, "captioner.attention: .*sdpa"),
        ({"captioner": {"quantisation": "int3"}}, "captioner.quantisation: .*nf4"),
        ({"captioner": {"style": "paper"}}, "captioner.style: .*authors"),
        ({"captioner": {"mapper": "mlp"}}, "captioner.mapper: .*two_layer"),
        ({"generation": {"padding": "both"}}, "generation.padding: .*right"),
        ({"training": {"dtype": "float16"}}, "training.dtype: .*bfloat16"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(values, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        Config.from_dict(values)


@pytest.mark.parametrize("section", ["training", "generation"])
def test_flash_attention_in_float32_is_refused(section):
    values = {"captioner": {"attention": "flash_attention_2"}}
    Config.from_dict(values)
    with pytest.raises(ConfigError, match=rf"{section}.dtype must be auto or bfloat16"):
        Config.from_dict(values | {section: {"dtype": "float32"}})


def test_a_later_setting_at_its_default_leaves_older_results_their_names():
    later = {"captioner": {"attention", "quantisation", "language_model_blocks"}}
    later["training"] = {"micro_batch", "gradient_checkpointing"}
    values = Config().to_dict()
    for section, names in later.items():
        assert not names & set(values[section])
    changed = {"captioner": {"quantisation": "nf4"}, "training": {"micro_batch": 2}}
    config = override(Config(), changed)
    values = config.to_dict()
    assert values["captioner"]["quantisation"] == "nf4"
    assert values["training"]["micro_batch"] == 2
    assert Config.from_dict(json.loads(json.dumps(values))) == config
    grid = experiments_profile("demo")
    assert "micro_batch" not in grid.to_dict()["captioner"]["training"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (None, "seed", -1),
        (None, "captions", 0),
        ("retrieval", "top_k", -1),
        ("retrieval", "sim_min", 0.9),  # above sim_max
        ("retrieval", "sim_min", -1.1),
        ("retrieval", "sim_max", 1.1),
        ("retrieval", "sim_max", float("nan")),
        ("retrieval", "withheld", -0.1),
        ("retrieval", "withheld", 1.1),
        ("projection", "temperature", 0.0),
        ("projection", "temperature", float("nan")),
        ("captioner", "lora_r", 0),
        ("captioner", "language_model_blocks", 0),
        ("captioner", "lora_alpha", 0),
        ("captioner", "lora_dropout", 1.0),
        ("captioner", "lora_targets", ()),
        ("captioner", "mapper_width", 0),
        ("training", "steps", 0),
        ("training", "micro_batch", 0),
        ("training", "micro_batch", 5),  # more than a batch
        ("training", "batch_size", 0),
        ("training", "peak_learning_rate", 0.0),
        ("training", "peak_learning_rate", float("inf")),
        ("training", "warmup_steps", -1),
        ("training", "warmup_steps", 40_001),  # beyond the last step
        ("training", "validate_every", 0),
        ("training", "validation_captions", 0),
        ("training", "save_every", 0),
        ("generation", "num_beams", 0),
        ("generation", "max_new_tokens", 0),
        ("generation", "batch_size", 0),
    ],
)
def test_an_impossible_value_is_named(section, key, value):
    values = {section: {key: value}} if section else {key: value}
    with pytest.raises(ConfigError, match=rf"{key}.* must .*; got "):
        Config.from_dict(values)


@pytest.mark.parametrize("name", ["attention", "quantisation"])
def test_a_choice_is_checked_without_from_dict_too(name):
    with pytest.raises(ConfigError, match=f"captioner.{name} must be one of"):
        CaptionerConfig(**{name: "other"})


def test_a_place_of_the_audio_token_is_checked_without_from_dict_too():
    with pytest.raises(ConfigError, match="captioner.audio_token must be one of"):
        CaptionerConfig(audio_token="last")


def test_only_one_layer_can_start_from_a_fit():
    assert CaptionerConfig(mapper="two_layer").mapper_width == 2_048
    with pytest.raises(ConfigError, match='mapper_start must be "random" unless'):
        CaptionerConfig(mapper="two_layer", mapper_start="least_squares")


def test_the_authors_style_has_the_audio_behind_the_captions():
    with pytest.raises(ConfigError, match='audio_token must be "after_captions" where'):
        CaptionerConfig(style="authors", audio_token="first")


@pytest.mark.parametrize("name", ["style", "mapper"])
def test_a_word_that_is_no_choice_is_answered_with_the_choices(name):
    with pytest.raises(ConfigError, match=f"captioner.{name} must be one of"):
        CaptionerConfig(**{name: "other"})


def test_padding_is_on_the_left_unless_asked_for_otherwise():
    assert GenerationConfig().padding == "left"
    with pytest.raises(ConfigError, match="generation.padding must be left or right"):
        GenerationConfig(padding="both")
