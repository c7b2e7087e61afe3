"""The log-mel spectrogram that an audio encoder of CLAP reads (sec. III-C).

In: waveforms; out: power in mel bands, in dB, on any device. Band edges, Slaney's scale
and the floor are the authors'. A clip is first padded with zeros or cropped to exactly
`FrontEndConfig.seconds`, so that no embedding depends on its batch. In training,
SpecAugment changes the result. Checked against librosa.
"""

from collections.abc import Sequence

import librosa
import numpy as np
import torch
from torch import nn

from drcap.audio import fit_length
from drcap.config import FrontEndConfig, SpecAugmentConfig

AUGMENT = 2  # part of the seed, beside ORDER and DRAW of `pairs`


class LogMel(nn.Module):
    """Turn waveforms into log-mel spectrograms."""

    def __init__(self, config: FrontEndConfig):
        super().__init__()
        self.config = config
        window = torch.hann_window(config.window)
        filters = torch.from_numpy(mel_filters(config).T.copy())
        # derived from the settings, so not saved with the weights
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Return 10 log10 of the mel power: (B, n) float32 -> (B, frames, mels) dB.

        n must exceed half a window. The spectra are centred on multiples of the hop;
        beyond its edges a waveform is mirrored.
        """
        # a CPU takes clips one by one, so that spectra stay in its cache
        if waveforms.device.type == "cpu" and len(waveforms) > 1:
            return torch.cat([self(waveform[None]) for waveform in waveforms])
        spectra = torch.stft(
            waveforms,
            self.config.window,
            self.config.hop,
            window=self.window,
            return_complex=True,
        )
        # |z|^2 without a root, (B, bins, frames)
        power = torch.addcmul(spectra.real.square(), spectra.imag, spectra.imag)
        mel = power.transpose(1, 2) @ self.filters
        return 10 * mel.clamp(min=self.config.floor).log10()


def mel_filters(config: FrontEndConfig) -> np.ndarray:
    """Return the weights of the mel bands, (mels, window / 2 + 1)."""
    return librosa.filters.mel(
        sr=config.sr,
        n_fft=config.window,
        n_mels=config.mels,
        fmin=config.low,
        fmax=config.high,
    )


def fixed_length(
    waveforms: Sequence[np.ndarray], config: FrontEndConfig
) -> torch.Tensor:
    """Stack B waveforms, each (n,), cropped or followed by zeros -> (B, samples)."""
    fitted = [fit_length(waveform, config.samples) for waveform in waveforms]
    return torch.from_numpy(np.stack(fitted).astype(np.float32, copy=False))


def spec_augment(
    log_mels: torch.Tensor,
    settings: SpecAugmentConfig,
    blank: torch.Tensor,
    *,
    seed: int,
    step: int,
    first: int,
) -> None:
    """Roll log-mels, change their level, blank stripes of time and mels, in place.

    log_mels : (n, frames, mels) dB, of the pairs from place `first` on in the batch
    blank : (mels,) dB, what fills a stripe

    The stripes are Park et al.'s (2019); roll and level are ours. What a pair gets
    depends on the seed, the step and the pair's place in the batch alone.
    """
    if not settings.enabled:
        return
    for place, log_mel in enumerate(log_mels, start=first):
        random = np.random.default_rng((seed, AUGMENT, step, place))
        frames, mels = log_mel.shape
        if settings.roll:
            log_mel.copy_(log_mel.roll(int(random.integers(frames)), 0))
        if settings.gain:
            log_mel += random.uniform(-settings.gain, settings.gain)
        count, width = settings.time_stripes, settings.time_width
        for start, end in _stripes(random, frames, count, width):
            log_mel[start:end] = blank
        count, width = settings.mel_stripes, settings.mel_width
        for start, end in _stripes(random, mels, count, width):
            log_mel[:, start:end] = blank[start:end]


def _stripes(
    random: np.random.Generator, length: int, count: int, width: int
) -> list[tuple[int, int]]:
    """Draw `count` stripes (start, end) within `length`, each at most `width` wide."""
    widths = random.integers(min(width, length) + 1, size=count)
    starts = random.integers(length - widths + 1)
    return list(zip(starts.tolist(), (starts + widths).tolist(), strict=True))
