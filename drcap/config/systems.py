"""Settings of the systems that DRCap is compared with, each as in its own paper.

What all systems share (language model, adapter, schedule, generation) is the recipe of
the grid.
"""

from typing import Literal

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt

from drcap.config.settings import Fraction, settings


@settings
class WSACConfig:
    """Weakly-supervised audio captioning (Kouzelis and Katsouros, 2023)."""

    noise_variance: NonNegativeFloat = 0.001  # of each dimension of E_t in training
    bridge: Literal["audio", "shift", "nearest", "projection"] = "projection"
    layers: PositiveInt = 4  # of the decoder that is trained from scratch
    width: PositiveInt = 768
    heads: PositiveInt = 4
    steps: PositiveInt = 23_000  # 30 epochs of 49,274 captions in batches of 64
    batch_size: PositiveInt = 64
    peak_learning_rate: PositiveFloat = 1e-5

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"width must divide by heads; got {self.width}")


@settings
class SoftHardPromptsConfig:
    """Soft and hard prompts (Zhang et al., 2024)."""

    prefix: PositiveInt = 10  # soft tokens
    neighbours: PositiveInt = 5  # captions that may replace one's embedding in training
    noise_variance: NonNegativeFloat = 0.001
    classes: PositiveInt = 3  # sound events named in the hard prompt
    mask_probability: Fraction = 0.4  # that a class is left out in training
    # ours: at inference, by the nearest training caption; the authors' public code
    # gives the mapper the audio embedding as it is
    replace_audio: bool = False
    peak_learning_rate: PositiveFloat | None = 1e-5  # None: the grid's


@settings
class ZerAuCapConfig:
    """Audio-guided decoding without training (Salewski et al., 2023)."""

    keywords: PositiveInt = 2  # sound events in the prompt
    candidates: PositiveInt = 45  # next tokens that are compared with the audio
    weight: NonNegativeFloat = 0.5  # beta, of the audio; 0: the plain language model
    sharpness: float = 10.0  # of the softmax over the candidates' similarities
    max_new_tokens: PositiveInt = 40


@settings
class PrefixAACConfig:
    """Prefix AAC (Kim et al., 2023)."""

    temporal: PositiveInt = 15  # prefix tokens from the frames
    label_group: PositiveInt = 48  # sound event classes that make one global token
    layers: PositiveInt = 4  # of either mapping network
    heads: PositiveInt = 8
    dropout: Fraction = 0.1
    peak_learning_rate: PositiveFloat | None = 5e-5  # None: the grid's
    mapper_rate: PositiveFloat = 1.0  # of the networks, relative to that


@settings
class RECAPConfig:
    """RECAP (Ghosh et al., 2024)."""

    top_k: PositiveInt = 3  # captions in the prompt
    reduction: PositiveInt = 4  # of the width of a cross-attention head
    every: PositiveInt = 1  # cross-attention in one of so many blocks
    peak_learning_rate: PositiveFloat | None = 5e-5  # None: the grid's


@settings
class EnCLAPConfig:
    """EnCLAP (Kim et al., 2024), the large one."""

    codebooks: PositiveInt = 16
    bits: PositiveInt = 10  # of a code; a codebook has 2 ** bits entries
    frames: PositiveInt = 4  # log-mel frames in one token
    layers: PositiveInt = 12  # of the encoder
    heads: PositiveInt = 16
    dropout: Fraction = 0.1
    mask_probability: Fraction = 0.15  # of a code in training
    mask_span: PositiveInt = 10  # tokens masked together
    mcm_weight: NonNegativeFloat = 0.7  # of masked codec modelling, beside the caption
    label_smoothing: Fraction = 0.2
    peak_learning_rate: PositiveFloat | None = 3e-5  # None: the grid's
    mapper_rate: PositiveFloat = 1.0  # of the encoder, relative to that


@settings
class NoiseConfig:
    """DRCap with noise in training in the place of projection at inference."""

    noise_variance: NonNegativeFloat = 0.001


@settings
class BaselinesConfig:
    """Every system beside DRCap."""

    wsac: WSACConfig = WSACConfig()
    soft_hard_prompts: SoftHardPromptsConfig = SoftHardPromptsConfig()
    zeraucap: ZerAuCapConfig = ZerAuCapConfig()
    prefix_aac: PrefixAACConfig = PrefixAACConfig()
    recap: RECAPConfig = RECAPConfig()
    enclap: EnCLAPConfig = EnCLAPConfig()
    noise: NoiseConfig = NoiseConfig()
