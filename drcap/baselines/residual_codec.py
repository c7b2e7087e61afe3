"""A residual vector quantiser of log-mels, trained on a corpus' recordings by faiss.

As in EnCodec a token is several codes, each the nearest to what those before it left.
"""

from pathlib import Path

import faiss
import numpy as np
from safetensors.numpy import load_file, save_file

from drcap.files import atomic_path

TRAINED_ON = 100_000  # tokens at most, drawn from the recordings


class ResidualCodec:
    """Log-mels to codes: (B, frames, mels) dB -> (B, T, Q).

    codebooks : Q      bits : of a code      frames : of a log-mel in one token
    """

    def __init__(self, mels: int, codebooks: int, bits: int, frames: int):
        self.frames = frames
        self.quantiser = faiss.ResidualQuantizer(mels * frames, codebooks, bits)
        self.quantiser.train_type = faiss.ResidualQuantizer.Train_default
        self.quantiser.max_beam_size = 1  # the nearest code each time, as EnCodec's

    @property
    def codebooks(self) -> int:
        """Q, codes a token."""
        return self.quantiser.M

    def tokens(self, log_mels: np.ndarray) -> np.ndarray:
        """Cut log-mels into tokens, a rest dropped: (B, T, frames * mels) float32."""
        clips, count, mels = log_mels.shape
        count -= count % self.frames
        cut = log_mels[:, :count].reshape(clips, count // self.frames, -1)
        return np.ascontiguousarray(cut, dtype=np.float32)

    def fit(self, log_mels: np.ndarray, seed: int) -> None:
        """Learn the codebooks, one after another, by k-means."""
        rows = self.tokens(log_mels).reshape(-1, self.quantiser.d)
        if len(rows) > TRAINED_ON:
            chosen = np.random.default_rng(seed).choice(len(rows), TRAINED_ON, False)
            rows = rows[np.sort(chosen)]
        self.quantiser.cp.seed = seed
        self.quantiser.train(rows)

    def encode(self, log_mels: np.ndarray) -> np.ndarray:
        """Return the codes of log-mels, (B, T, Q) int64."""
        tokens = self.tokens(log_mels)
        packed = self.quantiser.compute_codes(tokens.reshape(-1, self.quantiser.d))
        codes = _unpacked(packed, self.codebooks, int(self.quantiser.nbits.at(0)))
        return codes.reshape(*tokens.shape[:2], -1)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return the tokens that codes stand for, (B, T, Q) -> (B, T, d)."""
        books = self.centroids()  # (Q, K, d)
        chosen = [books[q, codes[..., q]] for q in range(self.codebooks)]
        return np.sum(chosen, axis=0)

    def centroids(self) -> np.ndarray:
        """Return the codebooks, (Q, K, d)."""
        flat = faiss.vector_to_array(self.quantiser.codebooks)
        return flat.reshape(self.codebooks, -1, self.quantiser.d)

    def save(self, path: Path) -> None:
        """Write the codebooks."""
        with atomic_path(Path(path)) as aside:
            save_file({"codebooks": self.centroids()}, aside)

    def load(self, path: Path) -> None:
        """Read what `save` wrote."""
        flat = load_file(path)["codebooks"].ravel()
        faiss.copy_array_to_vector(flat, self.quantiser.codebooks)
        self.quantiser.is_trained = True


def _unpacked(packed: np.ndarray, codebooks: int, bits: int) -> np.ndarray:
    """Return the codes in rows of bytes, the first in the lowest bits: (N, Q) int64."""
    digits = np.unpackbits(packed, axis=1, bitorder="little")[:, : codebooks * bits]
    weights = 1 << np.arange(bits, dtype=np.int64)
    return digits.reshape(len(packed), codebooks, bits) @ weights
