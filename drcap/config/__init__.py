"""Every setting of the package, typed, in one place; defaults are the paper's values.

captioning.py, clap.py, systems.py and experiments.py hold the settings; profiles.toml
says how smoke and demo differ from the paper. Unknown keys and impossible values raise
ConfigError, so that a misspelt setting stops a run before anything starts.
"""

# ruff: noqa: F401
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
from drcap.config.experiments import DatasetsConfig, ExperimentsConfig
from drcap.config.profiles import (
    PROFILES,
    clap_profile,
    corpora_profile,
    experiments_profile,
    profile,
    recipe,
    soundscapes_profile,
)
from drcap.config.settings import override
from drcap.config.systems import (
    BaselinesConfig,
    EnCLAPConfig,
    NoiseConfig,
    PrefixAACConfig,
    RECAPConfig,
    SoftHardPromptsConfig,
    WSACConfig,
    ZerAuCapConfig,
)
from soundscapes import SoundscapesConfig
