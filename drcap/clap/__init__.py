"""CLAP models (sec. II-A): one interface, `CLAP`, and three models that have it.

`model.TrainedCLAP` is the paper's, trained here by `train`; `laion.LaionCLAP` is
LAION's; `bridge.CaptionBridge` stands in where neither is at hand. `drcap.load_clap`
loads any of them by name. Retrieval and projection know a model only through `CLAP`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch

from drcap.errors import ConfigError


class CLAP(ABC):
    """An audio encoder f_a and a text encoder f_t into one space of width `dim`."""

    dim: int  # D, width of the joint space
    sr: int  # sampling rate that encode_audio expects, Hz
    window_seconds: float  # longest waveform encoded at once, seconds
    temperature: float  # tau of eq. 4, > 0
    fingerprint: str  # changes whenever any embedding would; part of cache keys

    @abstractmethod
    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Embed B mono waveforms, each (n,) float32 at `sr` Hz -> (B, dim) float32.

        Rows have unit norm and lie on the CPU. A row does not depend on its batch.
        """

    @abstractmethod
    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, dim) float32, unit rows, on the CPU."""

    def frames(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return the audio encoder's last states over time: (B, T, C) float32.

        Raises ConfigError if the model has none.
        """
        raise ConfigError(f"clap: {self.fingerprint} has no frames; train a CLAP model")

    def log_mels(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return log-mels as the audio encoder reads them: (B, frames, mels) dB.

        Raises ConfigError if the model reads something else.
        """
        raise ConfigError(f"clap: {self.fingerprint} gives no log-mels; train a CLAP")
