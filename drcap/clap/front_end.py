"""The log-mel spectrogram that an audio encoder of CLAP sees, made on any device.

In: waveforms; out: power in mel bands, in dB. The band edges, the scale (Slaney's) and
the floor are the authors'. Every clip is first padded with zeros or cropped to exactly
`FrontEndConfig.seconds` (`fixed_length`), so that no embedding depends on its batch.
"""

from collections.abc import Sequence

import librosa
import numpy as np
import torch
from torch import nn

from drcap.audio import fit_length
from drcap.config import FrontEndConfig


class LogMel(nn.Module):
    """Turn waveforms into log-mel spectrograms."""

    def __init__(self, config: FrontEndConfig):
        super().__init__()
        self.config = config
        window = torch.hann_window(config.window)
        filters = torch.from_numpy(mel_filters(config).T.copy())
        # what the settings give is not saved with the weights
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", filters, persistent=False)

    def forward(self, waveforms: torch.Tensor) -> torch.Tensor:
        """Return 10 log10 of the mel power: (B, n) float32 -> (B, frames, mels) dB.

        n must exceed half a window. The spectra are centred on multiples of the hop;
        beyond its edges a waveform is mirrored.
        """
        # a CPU takes clips one by one, so that spectra stay in its cache
        at_once = 1 if waveforms.device.type == "cpu" else max(1, len(waveforms))
        return torch.cat([self._log_mel(part) for part in waveforms.split(at_once)])

    def _log_mel(self, waveforms: torch.Tensor) -> torch.Tensor:
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
    """Return the mel bands' weights of the FFT's bins, (mels, window / 2 + 1)."""
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
    fitted = [fit_length(each, config.samples) for each in waveforms]
    return torch.from_numpy(np.stack(fitted).astype(np.float32, copy=False))
