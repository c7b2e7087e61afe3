"""The profiles smoke, demo and paper: profiles.toml says how each differs.

Smoke and demo run on procedural corpora; smoke-real and demo-real are the same small
models on the real datasets, which `paper` runs on, too.
"""

import functools
import tomllib
from pathlib import Path
from typing import Any

from drcap.config.captioning import Config
from drcap.config.clap import CLAPConfig
from drcap.config.experiments import DatasetsConfig, ExperimentsConfig
from drcap.config.settings import override
from drcap.errors import ConfigError, check_choice
from soundscapes import SoundscapesConfig

PROFILES = ("smoke", "demo", "paper")
REAL = "-real"  # what a profile's name ends in that runs on the real datasets
NAMES = (*PROFILES, "smoke-real", "demo-real")


def profile(name: str) -> Config:
    """Return the captioner's configuration of a profile; ConfigError if unknown."""
    return override(Config(), _differences("captioner", name))


def clap_profile(name: str) -> CLAPConfig:
    """Return the CLAP model's configuration of a profile; ConfigError if unknown."""
    return override(CLAPConfig(), _differences("clap", name))


def corpora_profile(name: str) -> SoundscapesConfig | DatasetsConfig:
    """Return the settings of a profile's corpora, procedural or real.

    Raises ConfigError for an unknown profile.
    """
    if name == "paper" or name.endswith(REAL):
        return override(DatasetsConfig(), _differences("datasets", name))
    return soundscapes_profile(name)


def soundscapes_profile(name: str) -> SoundscapesConfig:
    """Return the procedural corpora's settings; `paper` has the real datasets' sizes.

    Raises ConfigError for an unknown profile.
    """
    return override(SoundscapesConfig(), _differences("soundscapes", name))


def experiments_profile(name: str) -> ExperimentsConfig:
    """Return what a profile's experiments share; ConfigError if unknown."""
    return override(ExperimentsConfig(), _differences("experiments", name))


def recipe(name: str) -> Config:
    """Return the configuration that the captioners of a profile's grid start from.

    Its CLAP model is one that the grid trains: no name loads it. Raises ConfigError for
    an unknown profile.
    """
    return override(experiments_profile(name).captioner, {"clap": "trained here"})


def _differences(kind: str, name: str) -> dict[str, Any]:
    check_choice("profile", name, NAMES, ConfigError)
    return _file()[kind].get(name.removesuffix(REAL), {})


@functools.cache
def _file() -> dict[str, Any]:
    path = Path(__file__).with_suffix(".toml")
    return tomllib.loads(path.read_text(encoding="utf-8"))
