"""The profiles smoke, demo and paper: each states how it differs from the paper.

Smoke and demo run on procedural corpora; smoke-real and demo-real are the same small
models on the real datasets, which `paper` runs on, too.
"""

from typing import Any

from drcap.config.captioning import Config
from drcap.config.clap import CLAPConfig
from drcap.config.datasets import DatasetsConfig
from drcap.config.experiments import ExperimentsConfig
from drcap.config.soundscapes import SoundscapesConfig
from drcap.config.strict import override
from drcap.errors import ConfigError

REAL = "-real"  # what a profile's name ends in that runs on the real datasets
NAMES = ("smoke", "demo", "paper", "smoke-real", "demo-real")

PROFILES: dict[str, dict[str, Any]] = {
    # seconds, for tests: a language model of six of its thirty blocks says nothing
    "smoke": {
        "captions": 400,
        "captioner": {"language_model_blocks": 6},
        "retrieval": {"sim_min": 0.4, "sim_max": 0.7},
        "training": {
            "steps": 4,
            "batch_size": 2,
            "peak_learning_rate": 5e-4,
            "warmup_steps": 2,
            "validate_every": 2,
            "validation_captions": 4,
            "save_every": 2,
        },
        "generation": {"num_beams": 2, "max_new_tokens": 8},
    },
    # minutes, two CPU cores; the band is refitted to the tag bridge's space, where two
    # people's captions of one clip are 0.53 alike; a small LLM gets a larger adapter,
    # and so few steps no dropout
    "demo": {
        "captioner": {"lora_r": 16, "lora_alpha": 64, "lora_dropout": 0.0},
        "retrieval": {"sim_min": 0.4, "sim_max": 0.7, "withheld": 0.5},
        "training": {
            "steps": 150,
            "batch_size": 8,
            "peak_learning_rate": 1.5e-3,
            "warmup_steps": 15,
            "validate_every": 50,
            "validation_captions": 100,
            "save_every": 50,
        },
    },
    # the paper's setting: Vicuna-7B on a GPU
    "paper": {"captioner": {"language_model": "lmsys/vicuna-7b-v1.5"}},
}

CLAP_PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {
        "dim": 32,
        "front_end": {"mels": 32, "window": 2_048, "hop": 2_560},
        "audio_encoder": {
            "width": 16,
            "depths": (2, 2),
            "heads": (2, 4),
            "spectrogram_size": 64,
            "window_size": 4,
        },
        "text_encoder": {
            "model": "all-minilm-l6-v2",
            "pooling": "mean",
            "trained": False,
        },
        "training": {
            "epochs": 2,
            "warmup_epochs": 1,
            "batch_size": 8,
            "micro_batch": 8,
            "peak_learning_rate": 1e-3,
            "cache_log_mels": True,
        },
    },
    # two CPU cores, ten minutes: a small audio encoder at a coarser time step, beside a
    # pretrained text encoder that stays as it is
    "demo": {
        "dim": 256,
        "front_end": {"window": 2_048, "hop": 1_280},
        "audio_encoder": {
            "width": 48,
            "depths": (2, 2, 2, 2),
            "heads": (2, 4, 8, 16),
            "spectrogram_size": 128,
            "window_size": 4,
        },
        "text_encoder": {
            "model": "all-minilm-l6-v2",
            "pooling": "mean",
            "trained": False,
        },
        "training": {
            "epochs": 17,
            "batch_size": 64,
            "micro_batch": 64,
            "peak_learning_rate": 1e-3,
            "cache_log_mels": True,
            "spec_augment": {"roll": True, "gain": 6.0, "time_width": 32},
        },
    },
    "paper": {},
}

SOUNDSCAPES_PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {
        "ac": (12, 3, 5),
        "cl": (6, 2, 4),
        "weak": 40,
    },
    "demo": {
        "ac": (600, 60, 200),
        "cl": (250, 40, 200),
        "weak": 4_000,
    },
    "paper": {},
}

DATASETS_PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {"soundvecaps": (), "weak_clips": 50},
    "demo": {"soundvecaps": (), "weak_clips": 20_000},
    "paper": {},
}

EXPERIMENTS_PROFILES: dict[str, dict[str, Any]] = {
    "smoke": {
        "captioner": {
            "captioner": {"language_model_blocks": 6},
            "training": {
                "steps": 2,
                "batch_size": 2,
                "peak_learning_rate": 5e-4,
                "warmup_steps": 1,
                "validate_every": 1,
                "validation_captions": 2,
                "save_every": 1,
            },
            "generation": {"num_beams": 2, "max_new_tokens": 6, "dtype": "fastest"},
        },
        "steps_on_cl": 2,
        "seen_epochs": 1,
        "baselines": {
            "wsac": {
                **{"layers": 1, "width": 32, "heads": 2, "steps": 2, "batch_size": 2},
                "peak_learning_rate": 1e-3,
            },
            "zeraucap": {"candidates": 4, "max_new_tokens": 4},
            "prefix_aac": {"layers": 1},
            "enclap": {
                **{"codec": "", "codebooks": 2, "bits": 3, "frames": 32},
                **{"layers": 1, "heads": 8},
            },
        },
    },
    # two CPU cores, four minutes a captioner: a small language model gets a larger
    # adapter and learning rate, and its mapper a start that many steps would give it
    "demo": {
        "captioner": {
            "captioner": {
                "mapper_start": "least_squares",
                "lora_r": 16,
                "lora_alpha": 64,
                "lora_dropout": 0.0,
            },
            "training": {
                "steps": 200,
                "batch_size": 8,
                "peak_learning_rate": 3e-3,
                "warmup_steps": 10,
                "validate_every": 50,
                "validation_captions": 40,
                "save_every": 50,
            },
            "generation": {
                **{"no_repeat_ngram": 3, "batch_size": 20, "dtype": "fastest"},
            },
        },
        "steps_on_cl": 200,
        # small networks on two CPU cores, and few tokens of time for the same reason
        "baselines": {
            "wsac": {
                **{"width": 256, "steps": 400, "batch_size": 16},
                "peak_learning_rate": 1e-3,
            },
            "zeraucap": {"candidates": 16, "max_new_tokens": 16},
            "soft_hard_prompts": {"peak_learning_rate": None},
            "prefix_aac": {
                **{"layers": 2, "peak_learning_rate": None, "mapper_rate": 0.1},
            },
            "recap": {"every": 3, "peak_learning_rate": 3e-4},
            "enclap": {
                **{"codec": "", "codebooks": 4, "bits": 8, "frames": 20},
                **{"layers": 2, "heads": 8, "mask_span": 2},
                **{"label_smoothing": 0.0, "peak_learning_rate": None},
                "mapper_rate": 0.1,
            },
        },
    },
    "paper": {"captioner": {"captioner": {"language_model": "lmsys/vicuna-7b-v1.5"}}},
}


def profile(name: str) -> Config:
    """Return the captioner's configuration of a profile; ConfigError if unknown."""
    return Config.from_dict(_known(PROFILES, name))


def clap_profile(name: str) -> CLAPConfig:
    """Return the CLAP model's configuration of a profile."""
    return override(CLAPConfig(), _known(CLAP_PROFILES, name))


def corpora_profile(name: str) -> SoundscapesConfig | DatasetsConfig:
    """Return the configuration of a profile's corpora, procedural or real."""
    if name == "paper" or name.endswith(REAL):
        return override(DatasetsConfig(), _known(DATASETS_PROFILES, name))
    return soundscapes_profile(name)


def soundscapes_profile(name: str) -> SoundscapesConfig:
    """Return the procedural corpora's configuration of a profile.

    That of `paper` has the sizes of the real datasets.
    """
    return override(SoundscapesConfig(), _known(SOUNDSCAPES_PROFILES, name))


def experiments_profile(name: str) -> ExperimentsConfig:
    """Return what all experiments of the grid share, of a profile."""
    return override(ExperimentsConfig(), _known(EXPERIMENTS_PROFILES, name))


def recipe(name: str) -> Config:
    """Return the configuration that the captioners of a profile's grid start from.

    Its CLAP model is one that the grid trains: it has no name to be loaded by.
    """
    return override(experiments_profile(name).captioner, {"clap": "trained here"})


def _known(profiles: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise ConfigError(f"profile: unknown '{name}'; choose one of {known}")
    return profiles[name.removesuffix(REAL)]
