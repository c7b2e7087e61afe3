"""Every setting of the package, typed, in one place; defaults are the paper's values.

captioning.py, clap.py, baselines.py, experiments.py, soundscapes.py and datasets.py
hold the settings; profiles.py how smoke and demo differ from the paper. Unknown keys
and impossible values are errors: a misspelt setting is found before anything starts.
"""

from drcap.config.baselines import (
    BaselinesConfig,
    EnCLAPConfig,
    NoiseConfig,
    PrefixAACConfig,
    RECAPConfig,
    SoftHardPromptsConfig,
    WSACConfig,
    ZerAuCapConfig,
)
from drcap.config.captioning import (
    CaptionerConfig,
    Config,
    GenerationConfig,
    ProjectionConfig,
    RetrievalConfig,
    TrainingConfig,
)
from drcap.config.clap import (
    AudioEncoderConfig,
    CLAPConfig,
    CLAPTrainingConfig,
    FrontEndConfig,
    SpecAugmentConfig,
    TextEncoderConfig,
)
from drcap.config.datasets import DatasetsConfig
from drcap.config.experiments import ExperimentsConfig
from drcap.config.profiles import (
    PROFILES,
    clap_profile,
    corpora_profile,
    experiments_profile,
    profile,
    recipe,
    soundscapes_profile,
)
from drcap.config.soundscapes import SoundscapesConfig
from drcap.config.strict import override

__all__ = [
    "PROFILES",
    "AudioEncoderConfig",
    "BaselinesConfig",
    "CLAPConfig",
    "CLAPTrainingConfig",
    "CaptionerConfig",
    "Config",
    "DatasetsConfig",
    "EnCLAPConfig",
    "ExperimentsConfig",
    "FrontEndConfig",
    "GenerationConfig",
    "NoiseConfig",
    "PrefixAACConfig",
    "ProjectionConfig",
    "RECAPConfig",
    "RetrievalConfig",
    "SoftHardPromptsConfig",
    "SoundscapesConfig",
    "SpecAugmentConfig",
    "TextEncoderConfig",
    "TrainingConfig",
    "WSACConfig",
    "ZerAuCapConfig",
    "clap_profile",
    "corpora_profile",
    "experiments_profile",
    "override",
    "profile",
    "recipe",
    "soundscapes_profile",
]
