"""The modality gap (Fig. 1): how far apart audio and text embeddings lie, and bridges.

After Liang et al. (2022): the embeddings of each modality fill a narrow cone, and the
gap is the vector between the centroids of the two. The paper's own remedy is in
`drcap.projection`. Checked against all pairs, one by one.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np


@dataclass(frozen=True)
class GapStatistics:
    """Where N audio embeddings lie, seen from the text embeddings of the same clips."""

    distance: float  # between the two centroids
    paired: float  # mean cosine of a clip and its own caption
    unpaired: float  # of a clip and another's caption
    within_audio: float  # of two different clips
    within_text: float  # of the captions of two different clips


def gap_statistics(audio: np.ndarray, text: np.ndarray) -> GapStatistics:
    """Measure the gap between N clips and a caption of each, over all pairs.

    audio : (N, D), unit rows, N at least 2
    text : (N, D), unit rows, row i is of the same clip; or (N, R, D), R captions of
        each: the mean of what the first captions, the second, ... give

    ValueError for arrays that do not fit. Time and memory: O(N x D).
    """
    if text.ndim == 3:
        parts = [astuple(gap_statistics(audio, rows)) for rows in text.swapaxes(0, 1)]
        return GapStatistics(*np.mean(parts, axis=0).tolist())
    audio, text = _check_pairs(audio, text)
    count = len(audio)
    paired = np.sum(audio * text, axis=1)
    sums = audio.sum(axis=0), text.sum(axis=0)
    others = count * (count - 1)
    return GapStatistics(
        distance=float(np.linalg.norm(sums[0] - sums[1]) / count),
        paired=float(paired.mean()),
        # all pairs but those of a row with itself; the sum of all is that of the sums
        unpaired=float((sums[0] @ sums[1] - paired.sum()) / others),
        within_audio=float((sums[0] @ sums[0] - np.sum(audio**2)) / others),
        within_text=float((sums[1] @ sums[1] - np.sum(text**2)) / others),
    )


def fixed_plane(
    rows: Sequence[np.ndarray], fitted: int | None = None
) -> list[np.ndarray]:
    """Reduce embeddings of several kinds to one plane, that of their PCA.

    rows : arrays (N, D) of one width, of which the first `fitted` make the plane
    returns : as many arrays (N, 2)
    """
    together = np.concatenate(rows[:fitted]).astype(np.float64)
    centre = together.mean(axis=0)
    axes = np.linalg.svd(together - centre, full_matrices=False)[2][:2]
    return [(each - centre) @ axes.T for each in rows]


def mean_shift(
    audio: np.ndarray,
    audio_mean: np.ndarray,
    text_mean: np.ndarray,
    amount: float = 1.0,
) -> np.ndarray:
    """Move audio embeddings along the gap, from one centroid to the other.

    audio : (B, D), unit rows     audio_mean, text_mean : (D,), of a training set
    amount : 0 stays, 1 moves the one centroid onto the other
    returns : (B, D) float32, renormalised
    """
    return _unit(audio + amount * (text_mean - audio_mean))


def inject_noise(
    text: np.ndarray, std: float, seed: int | Sequence[int] = 0
) -> np.ndarray:
    """Add Gaussian noise of `std` a component to text embeddings and renormalise.

    A captioner trained on such rows tolerates a gap as wide as the noise.
    text : (B, D), unit rows     returns : (B, D) float32, unit rows

    ValueError for a negative std.
    """
    if std < 0:
        raise ValueError(f"std is {std}: it must not be negative")
    noise = np.random.default_rng(seed).standard_normal(text.shape)
    return _unit(text + std * noise)


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    return (rows / np.maximum(norms, 1e-12)).astype(np.float32)


def _check_pairs(audio: np.ndarray, text: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if audio.ndim != 2 or audio.shape != text.shape or len(audio) < 2:
        raise ValueError(
            f"audio {audio.shape} and text {text.shape} do not fit: expected (N, D) "
            "twice, N at least 2"
        )
    return audio.astype(np.float64), text.astype(np.float64)
