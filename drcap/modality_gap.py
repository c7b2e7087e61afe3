"""The modality gap (Fig. 1): how far apart audio and text embeddings lie, and remedies.

After Liang et al. (2022): the embeddings of each modality fill a narrow cone, and the
gap is the vector between the centroids of the two. The paper's own remedy is in
`drcap.projection`. Checked against all pairs, one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from drcap.projection import project


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

    audio, text : (N, D), unit rows, N at least 2; row i of both is the same clip

    ValueError for arrays that do not fit. Time and memory: O(N x D).
    """
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


def sampled_cosines(
    audio: np.ndarray, text: np.ndarray, *, pairs: int = 20_000, seed: int = 0
) -> dict[str, np.ndarray]:
    """Return cosines of the four kinds of `GapStatistics`, to draw as histograms.

    audio, text : as in `gap_statistics`     pairs : of each kind but the first, drawn
    returns : kind -> cosines; all N of the paired ones
    """
    audio, text = _check_pairs(audio, text)
    draw = np.random.default_rng(seed)
    one = draw.integers(len(audio), size=pairs)
    other = (one + draw.integers(1, len(audio), size=pairs)) % len(audio)
    return {
        "paired": np.sum(audio * text, axis=1),
        "unpaired": np.sum(audio[one] * text[other], axis=1),
        "within audio": np.sum(audio[one] * audio[other], axis=1),
        "within text": np.sum(text[one] * text[other], axis=1),
    }


def mean_shift(
    audio: np.ndarray, audio_mean: np.ndarray, text_mean: np.ndarray
) -> np.ndarray:
    """Move the audio embeddings' centroid onto the text embeddings' and renormalise.

    audio : (B, D), unit rows     audio_mean, text_mean : (D,), of a training set
    returns : (B, D) float32, unit rows
    """
    return _unit(audio - audio_mean + text_mean)


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


def along_gap(
    embedding: np.ndarray, direction: np.ndarray, amount: float
) -> np.ndarray:
    """Move embeddings by `amount` times `direction` and renormalise.

    embedding : (D,) or (B, D), unit rows     direction : (D,), text less audio centroid
    amount : 0 stays, 1 crosses the gap     returns : float32, shaped as `embedding`
    """
    return _unit(embedding + amount * direction)


def bridges(
    audio: np.ndarray,
    text: np.ndarray,
    audio_mean: np.ndarray,
    text_mean: np.ndarray,
    support: np.ndarray,
    temperature: float,
    seed: int = 0,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return audio and text embeddings as each remedy for the gap leaves them.

    audio : (N, D), unit rows     text : (M, D), unit rows
    audio_mean, text_mean : (D,), of a training set
    support, temperature : as in `drcap.projection.project`
    returns : "none", "mean shift", "noise injection" (as long as the gap) and
        "projection" -> audio (N, D) and text (M, D) float32, unit rows
    """
    rows = torch.from_numpy(audio)
    projected = project(rows, support, temperature, renormalise=True).numpy()
    gap = float(np.linalg.norm(text_mean - audio_mean))
    noisy = inject_noise(text, gap / text.shape[1] ** 0.5, seed)
    return {
        "none": (audio, text),
        "mean shift": (mean_shift(audio, audio_mean, text_mean), text),
        "noise injection": (audio, noisy),
        "projection": (projected, text),
    }


def planes(
    audio: np.ndarray, text: np.ndarray, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """Reduce paired embeddings to two dimensions, by PCA and by t-SNE.

    audio, text : as in `gap_statistics`
    returns : "PCA" and "t-SNE" -> points (2N, 2), the N clips and then the N captions
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = np.concatenate(_check_pairs(audio, text))
    perplexity = min(30.0, (len(rows) - 1) / 3)  # scikit-learn's, or what fits
    tsne = TSNE(metric="cosine", perplexity=perplexity, random_state=seed)
    return {"PCA": PCA(2).fit_transform(rows), "t-SNE": tsne.fit_transform(rows)}


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
