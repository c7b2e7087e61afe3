"""Settings of the CLAP model and its training; the defaults are the paper's."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from drcap.config.strict import override, require


@dataclass(frozen=True)
class FrontEndConfig:
    """The log-mel spectrogram that the audio encoder sees."""

    sr: int = 32_000  # Hz
    seconds: float = 10.0  # seen at once; a shorter clip is followed by zeros
    window: int = 1_024  # samples of a Hann window, and points of its FFT
    hop: int = 320  # samples
    mels: int = 64  # bands, Slaney's scale and normalisation
    low: float = 50.0  # Hz
    high: float = 14_000.0  # Hz
    floor: float = 1e-6  # least power in the logarithm

    def __post_init__(self):
        for name in ("sr", "seconds", "window", "hop", "mels", "floor"):
            value = getattr(self, name)
            require(value > 0, f"front_end.{name}", "be above 0", value)
        edges = (self.low, self.high)
        rising = 0 <= self.low < self.high <= self.sr / 2
        require(rising, "front_end.low, high", "rise within [0, sr / 2]", edges)

    @property
    def samples(self) -> int:
        """Number of samples seen at once."""
        return round(self.seconds * self.sr)

    @property
    def frames(self) -> int:
        """Number of spectra in them; the first and last are centred on the edges."""
        return self.samples // self.hop + 1


@dataclass(frozen=True)
class AudioEncoderConfig:
    """HTS-AT: a Swin transformer over the spectrogram folded into a square."""

    width: int = 96  # of the first stage; it doubles from stage to stage
    depths: tuple[int, ...] = (2, 2, 6, 2)  # blocks a stage
    heads: tuple[int, ...] = (4, 8, 16, 32)
    spectrogram_size: int = 256  # side of the square
    patch_size: int = 4
    window_size: int = 8  # patches
    dropout: float = 0.0

    def __post_init__(self):
        same = len(self.depths) == len(self.heads) > 0
        shape = (self.depths, self.heads)
        require(same, "audio_encoder.depths, heads", "have one entry a stage", shape)
        for name in ("width", "spectrogram_size", "patch_size", "window_size"):
            value = getattr(self, name)
            require(value > 0, f"audio_encoder.{name}", "be above 0", value)
        halvings = 2 ** (len(self.depths) - 1)
        last = self.spectrogram_size // self.patch_size // halvings
        whole = self.window_size <= last
        rule = f"fit in the last stage, {last} patches wide"
        require(whole, "audio_encoder.window_size", rule, self.window_size)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Any text encoder of transformers, of the RoBERTa family in the paper."""

    model: str = "roberta-base"  # asset, folder or hub id
    pooling: Literal["first", "mean"] = "first"  # "first": the state of <s>
    max_tokens: int = 30  # longer captions are cut, as the authors do
    trained: bool = True  # False: only its projection is

    def __post_init__(self):
        places = ("first", "mean")
        known = self.pooling in places
        require(known, "text_encoder.pooling", f"be one of {places}", self.pooling)
        enough = self.max_tokens > 2
        require(enough, "text_encoder.max_tokens", "be above 2", self.max_tokens)


@dataclass(frozen=True)
class SpecAugmentConfig:
    """Stripes of the spectrogram that are blanked in training (Park et al., 2019).

    Roll and gain are ours, for corpora too small to show each sound at every time and
    level.
    """

    enabled: bool = True
    roll: bool = False  # begin at a random frame; what is cut off comes last
    gain: float = 0.0  # dB, the largest change of level up or down
    time_stripes: int = 2
    time_width: int = 64  # frames, at most
    mel_stripes: int = 2
    mel_width: int = 8  # bands, at most


@dataclass(frozen=True)
class CLAPTrainingConfig:
    """Symmetric contrastive training on weakly labelled pairs."""

    epochs: int = 15  # the last one's model is used
    warmup_epochs: int = 2  # then cosine annealing to zero
    batch_size: int = 256  # pairs contrasted with one another
    micro_batch: int = 64  # pairs encoded at once; bounds the memory
    peak_learning_rate: float = 5e-5
    embedding_regularisation: float = 0.0  # weight; the authors' code offers it
    cache_log_mels: bool = False  # True: computed once, for corpora that fit on disk
    save_every: int = 200  # steps between the states that a killed run resumes from
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the encoders
    spec_augment: SpecAugmentConfig = field(default_factory=SpecAugmentConfig)

    def __post_init__(self):
        for name in ("epochs", "batch_size", "micro_batch", "save_every"):
            value = getattr(self, name)
            require(value > 0, f"training.{name}", "be above 0", value)
        rate = self.peak_learning_rate
        usable = 0 < rate < math.inf
        require(usable, "training.peak_learning_rate", "be above 0, finite", rate)
        within = 0 <= self.warmup_epochs <= self.epochs
        warmup = self.warmup_epochs
        require(within, "training.warmup_epochs", "be within epochs", warmup)
        weight = self.embedding_regularisation
        least = weight >= 0
        require(least, "training.embedding_regularisation", "be 0 or more", weight)


@dataclass(frozen=True)
class CLAPConfig:
    """The whole of one CLAP model and its training."""

    dim: int = 1_024  # D, width of the joint space
    temperature: float = 0.07  # at the start; it is learned
    seed: int = 0
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    audio_encoder: AudioEncoderConfig = field(default_factory=AudioEncoderConfig)
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    training: CLAPTrainingConfig = field(default_factory=CLAPTrainingConfig)

    def __post_init__(self):
        require(self.dim > 0, "dim", "be above 0", self.dim)
        require(self.temperature > 0, "temperature", "be above 0", self.temperature)
        require(self.seed >= 0, "seed", "be 0 or more", self.seed)
        folded = self.audio_encoder.spectrogram_size // self.front_end.mels
        room = folded * self.audio_encoder.spectrogram_size
        fits = 0 < self.front_end.frames <= room
        rule = f"give at most {room} frames, the square's room"
        require(fits, "front_end.seconds, hop", rule, self.front_end.frames)

    def to_dict(self) -> dict[str, Any]:
        """Return plain nested dictionaries, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "CLAPConfig":
        """Build from (part of) what `to_dict` gives; ConfigError names a bad key."""
        return override(cls(), values)
