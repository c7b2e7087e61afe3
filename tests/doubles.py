"""Small stand-ins with the real interfaces, so that a test runs in milliseconds."""

import hashlib
import re

import numpy as np
import torch

from drcap.clap import CLAP


def _word_vector(word: str, dim: int) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
    return np.random.default_rng(seed).standard_normal(dim).astype(np.float32)


class ToyCLAP(CLAP):
    """Captions are bags of hashed words; audio is a fixed projection of its spectrum."""

    dim = 32
    sr = 16_000
    window_seconds = 10.0
    temperature = 0.05

    def __init__(self, fingerprint: str = "toy-clap"):
        self.fingerprint = fingerprint
        self.encoded_captions = 0  # lets a test see what was encoded again

    def encode_audio(self, waveforms):
        projection = np.random.default_rng(0).standard_normal((64, self.dim))
        rows = [
            np.abs(np.fft.rfft(wave, 126)).astype(np.float32) @ projection
            for wave in waveforms
        ]
        return self._unit(rows)

    def encode_text(self, captions):
        self.encoded_captions += len(captions)
        rows = [
            np.sum(
                [_word_vector(w, self.dim) for w in re.findall(r"\w+", text.lower())]
                or [np.ones(self.dim)],
                axis=0,
            )
            for text in captions
        ]
        return self._unit(rows)

    def _unit(self, rows):
        matrix = torch.tensor(np.asarray(rows), dtype=torch.float32)
        return torch.nn.functional.normalize(matrix.reshape(-1, self.dim), dim=-1)
