"""Settings of the systems that DRCap is compared with, each as in its own paper.

What all systems share (language model, adapter, schedule, generation) is not here: it
is the grid's recipe.
"""

from dataclasses import dataclass, field
from typing import Literal

from drcap.config.strict import require


def _check_rate(system: str, rate: float | None) -> None:
    name = f"{system}.peak_learning_rate"
    require(rate is None or rate > 0, name, "be above 0, or null", rate)


@dataclass(frozen=True)
class WSACConfig:
    """Weakly-supervised audio captioning (Kouzelis and Katsouros, 2023)."""

    noise_variance: float = 0.001  # of each dimension of E_t in training
    bridge: Literal["audio", "shift", "nearest", "projection"] = "projection"
    layers: int = 4  # of the decoder that is trained from scratch
    width: int = 768
    heads: int = 4
    steps: int = 23_000  # 30 epochs of 49,274 captions in batches of 64
    batch_size: int = 64
    peak_learning_rate: float = 1e-5

    def __post_init__(self):
        known = ("audio", "shift", "nearest", "projection")
        require(self.bridge in known, "wsac.bridge", f"be one of {known}", self.bridge)
        noise = self.noise_variance
        require(noise >= 0, "wsac.noise_variance", "be 0 or more", noise)
        divided = self.width % self.heads == 0
        require(divided, "wsac.width", f"divide by heads {self.heads}", self.width)


@dataclass(frozen=True)
class SoftHardPromptsConfig:
    """Soft and hard prompts (Zhang et al., 2024)."""

    prefix: int = 10  # soft tokens
    neighbours: int = 5  # captions that may replace a caption's embedding in training
    noise_variance: float = 0.001
    classes: int = 3  # sound events named in the hard prompt
    mask_probability: float = 0.4  # that a class is left out in training
    replace_audio: bool = True  # at inference, by the nearest training caption
    peak_learning_rate: float | None = 1e-5  # None: the grid's

    def __post_init__(self):
        _check_rate("soft_hard_prompts", self.peak_learning_rate)
        for name in ("prefix", "neighbours"):
            value = getattr(self, name)
            require(value > 0, f"soft_hard_prompts.{name}", "be above 0", value)
        share = 0 <= self.mask_probability < 1
        name = "soft_hard_prompts.mask_probability"
        require(share, name, "be in [0, 1)", self.mask_probability)


@dataclass(frozen=True)
class ZerAuCapConfig:
    """Audio-guided decoding without training (Salewski et al., 2023)."""

    keywords: int = 2  # sound events in the prompt
    candidates: int = 45  # next tokens that are compared with the audio
    weight: float = 0.5  # beta, of the audio; 0 is the plain language model
    sharpness: float = 10.0  # of the softmax over the candidates' similarities
    max_new_tokens: int = 40

    def __post_init__(self):
        for name in ("keywords", "candidates", "max_new_tokens"):
            value = getattr(self, name)
            require(value > 0, f"zeraucap.{name}", "be above 0", value)
        require(self.weight >= 0, "zeraucap.weight", "be 0 or more", self.weight)


@dataclass(frozen=True)
class PrefixAACConfig:
    """Prefix AAC (Kim et al., 2023)."""

    temporal: int = 15  # prefix tokens from the frames
    label_group: int = 48  # sound event classes that make one global prefix token
    layers: int = 4  # of either mapping network
    heads: int = 8
    dropout: float = 0.1
    peak_learning_rate: float | None = 5e-5
    mapper_rate: float = 1.0  # of the networks, relative to that

    def __post_init__(self):
        _check_rate("prefix_aac", self.peak_learning_rate)
        for name in ("temporal", "label_group", "layers", "heads", "mapper_rate"):
            value = getattr(self, name)
            require(value > 0, f"prefix_aac.{name}", "be above 0", value)


@dataclass(frozen=True)
class RECAPConfig:
    """RECAP (Ghosh et al., 2024)."""

    top_k: int = 3  # captions in the prompt
    reduction: int = 4  # of the width of a cross-attention head
    every: int = 1  # cross-attention in one of so many blocks
    peak_learning_rate: float | None = 5e-5

    def __post_init__(self):
        _check_rate("recap", self.peak_learning_rate)
        for name in ("top_k", "reduction", "every"):
            value = getattr(self, name)
            require(value > 0, f"recap.{name}", "be above 0", value)


@dataclass(frozen=True)
class EnCLAPConfig:
    """EnCLAP (Kim et al., 2024), the large one."""

    codec: str = "facebook/encodec_24khz"  # name or folder; "": one is trained here
    codebooks: int = 16
    bits: int = 10  # of a code; a codebook has 2 ** bits entries
    frames: int = 4  # log-mel frames in one token of a codec that is trained here
    layers: int = 12  # of the encoder
    heads: int = 16
    dropout: float = 0.1
    mask_probability: float = 0.15  # of a code in training
    mask_span: int = 10  # tokens masked together
    mcm_weight: float = 0.7  # of masked codec modelling, beside the caption's loss
    label_smoothing: float = 0.2
    peak_learning_rate: float | None = 3e-5
    mapper_rate: float = 1.0  # of the encoder, relative to that

    def __post_init__(self):
        _check_rate("enclap", self.peak_learning_rate)
        for name in ("codebooks", "bits", "frames", "layers", "heads", "mask_span"):
            value = getattr(self, name)
            require(value > 0, f"enclap.{name}", "be above 0", value)
        require(
            self.mapper_rate > 0, "enclap.mapper_rate", "be above 0", self.mapper_rate
        )
        for name in ("mask_probability", "label_smoothing"):
            value = getattr(self, name)
            require(0 <= value < 1, f"enclap.{name}", "be in [0, 1)", value)


@dataclass(frozen=True)
class NoiseConfig:
    """DRCap with noise in training in the place of projection at inference."""

    variance: float = 0.001

    def __post_init__(self):
        require(self.variance >= 0, "noise.variance", "be 0 or more", self.variance)


@dataclass(frozen=True)
class BaselinesConfig:
    """Every system beside DRCap."""

    wsac: WSACConfig = field(default_factory=WSACConfig)
    soft_hard_prompts: SoftHardPromptsConfig = field(
        default_factory=SoftHardPromptsConfig
    )
    zeraucap: ZerAuCapConfig = field(default_factory=ZerAuCapConfig)
    prefix_aac: PrefixAACConfig = field(default_factory=PrefixAACConfig)
    recap: RECAPConfig = field(default_factory=RECAPConfig)
    enclap: EnCLAPConfig = field(default_factory=EnCLAPConfig)
    noise: NoiseConfig = field(default_factory=NoiseConfig)
