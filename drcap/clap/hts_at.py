"""HTS-AT (Chen et al., 2022) as transformers builds it, from the settings.

A Swin transformer that sees the spectrogram stretched and folded into a square.
"""

from transformers import ClapAudioConfig

from drcap.config import CLAPConfig
from drcap.errors import ConfigError


def hts_at(config: CLAPConfig) -> ClapAudioConfig:
    """Return transformers' form of HTS-AT's settings; ConfigError if impossible."""
    settings = config.audio_encoder
    _check_heads(config)
    return ClapAudioConfig(
        num_mel_bins=config.front_end.mels,
        spec_size=settings.spectrogram_size,
        patch_size=settings.patch_size,
        patch_stride=(settings.patch_size, settings.patch_size),
        window_size=settings.window_size,
        patch_embeds_hidden_size=settings.width,
        hidden_size=settings.width * 2 ** (len(settings.depths) - 1),
        depths=list(settings.depths),
        num_hidden_layers=len(settings.depths),
        num_attention_heads=list(settings.heads),
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
    )


def _check_heads(config: CLAPConfig) -> None:
    settings = config.audio_encoder
    for stage, heads in enumerate(settings.heads):
        if settings.width * 2**stage % heads:
            raise ConfigError(
                f"audio_encoder.heads: {heads} do not divide the width "
                f"{settings.width * 2**stage} of stage {stage}"
            )
