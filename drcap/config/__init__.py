"""Every setting of the package, typed, in one place; defaults are the paper's values.

captioning.py, clap.py and soundscapes.py hold the settings, a field a line;
profiles.py how smoke and demo differ from the paper. Unknown keys and impossible
values are errors, so a misspelt setting is found before anything is computed.
"""

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
from drcap.config.profiles import (
    PROFILES,
    clap_profile,
    profile,
    soundscapes_profile,
)
from drcap.config.soundscapes import SoundscapesConfig
from drcap.config.strict import override

__all__ = [
    "PROFILES",
    "AudioEncoderConfig",
    "CLAPConfig",
    "CLAPTrainingConfig",
    "CaptionerConfig",
    "Config",
    "FrontEndConfig",
    "GenerationConfig",
    "ProjectionConfig",
    "RetrievalConfig",
    "SoundscapesConfig",
    "SpecAugmentConfig",
    "TextEncoderConfig",
    "TrainingConfig",
    "clap_profile",
    "override",
    "profile",
    "soundscapes_profile",
]
