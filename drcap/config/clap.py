"""Settings of the CLAP model and its training; the defaults are the paper's."""

from typing import Annotated, Literal

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from drcap.config.settings import Settings, settings


@settings
class FrontEndConfig:
    """The log-mel spectrogram that the audio encoder sees."""

    sr: PositiveInt = 32_000  # Hz
    seconds: PositiveFloat = 10.0  # seen at once; a shorter clip is followed by zeros
    window: PositiveInt = 1_024  # samples of a Hann window, and points of its FFT
    hop: PositiveInt = 320  # samples
    mels: PositiveInt = 64  # bands, Slaney's scale and normalisation
    low: NonNegativeFloat = 50.0  # Hz
    high: PositiveFloat = 14_000.0  # Hz
    floor: PositiveFloat = 1e-6  # least power in the logarithm

    def __post_init__(self):
        if not self.low < self.high <= self.sr / 2:
            edges = (self.low, self.high)
            raise ValueError(f"low, high must rise within [0, sr / 2]; got {edges}")
        if not self.seconds <= 3_600:
            raise ValueError(f"seconds must be at most 3600; got {self.seconds}")

    @property
    def samples(self) -> int:
        """Number of samples seen at once."""
        return round(self.seconds * self.sr)

    @property
    def frames(self) -> int:
        """Number of spectra in them; the first and last are centred on the edges."""
        return self.samples // self.hop + 1


@settings
class AudioEncoderConfig:
    """HTS-AT: a Swin transformer over the spectrogram folded into a square."""

    width: PositiveInt = 96  # of the first stage; it doubles from stage to stage
    depths: tuple[PositiveInt, ...] = (2, 2, 6, 2)  # blocks of each stage
    heads: tuple[PositiveInt, ...] = (4, 8, 16, 32)
    spectrogram_size: PositiveInt = 256  # side of the square
    patch_size: PositiveInt = 4
    window_size: PositiveInt = 8  # patches
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def __post_init__(self):
        if not len(self.depths) == len(self.heads) > 0:
            shape = (self.depths, self.heads)
            raise ValueError(f"depths, heads must have one entry a stage; got {shape}")
        if any(self.width * 2**stage % n for stage, n in enumerate(self.heads)):
            raise ValueError(f"heads must divide their stage's width; got {self.heads}")
        halvings = 2 ** (len(self.depths) - 1)
        last = self.spectrogram_size // self.patch_size // halvings
        if self.window_size > last:
            rule = f"must fit in the last stage, {last} patches wide"
            raise ValueError(f"window_size {rule}; got {self.window_size}")


@settings
class TextEncoderConfig:
    """Any text encoder of transformers, of the RoBERTa family in the paper."""

    model: str = "roberta-base"  # asset, folder or hub id
    pooling: Literal["first", "mean"] = "first"  # "first": the state of <s>
    max_tokens: Annotated[int, Field(gt=2)] = 30  # longer captions are cut, as theirs
    trained: bool = True  # False: only its projection is


@settings
class SpecAugmentConfig:
    """Stripes of the spectrogram that are blanked in training (Park et al., 2019).

    Roll and gain are ours, for corpora too small to show each sound at every time and
    level.
    """

    enabled: bool = True
    roll: bool = False  # begin at a random frame; what is cut off comes last
    gain: NonNegativeFloat = 0.0  # dB, the largest change of level up or down
    time_stripes: NonNegativeInt = 2
    time_width: NonNegativeInt = 64  # frames, at most
    mel_stripes: NonNegativeInt = 2
    mel_width: NonNegativeInt = 8  # bands, at most


@settings
class CLAPTrainingConfig:
    """Symmetric contrastive training on weakly labelled pairs (sec. III-C)."""

    epochs: PositiveInt = 15  # the last one's model is used
    warmup_epochs: NonNegativeInt = 2  # then cosine annealing to zero
    batch_size: PositiveInt = 256  # pairs contrasted with one another
    micro_batch: PositiveInt = 64  # pairs encoded at once; bounds the memory
    peak_learning_rate: PositiveFloat = 5e-5
    cache_log_mels: bool = False  # True: computed once, for corpora that fit on disk
    save_every: PositiveInt = 200  # steps between the states that a kill leaves
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"  # of the encoders
    spec_augment: SpecAugmentConfig = SpecAugmentConfig()

    def __post_init__(self):
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"warmup_epochs must be within epochs; got {self.warmup_epochs}"
            )


@settings
class CLAPConfig(Settings):
    """The whole of one CLAP model and its training."""

    dim: PositiveInt = 1_024  # D, width of the joint space
    temperature: PositiveFloat = 0.07  # at the start; it is learned
    seed: NonNegativeInt = 0
    front_end: FrontEndConfig = FrontEndConfig()
    audio_encoder: AudioEncoderConfig = AudioEncoderConfig()
    text_encoder: TextEncoderConfig = TextEncoderConfig()
    training: CLAPTrainingConfig = CLAPTrainingConfig()

    def __post_init__(self):
        size, frames = self.audio_encoder.spectrogram_size, self.front_end.frames
        room = size // self.front_end.mels * size
        if frames > room:
            rule = f"must give at most {room} frames, the square's room"
            raise ValueError(f"front_end.seconds, hop {rule}; got {frames}")
