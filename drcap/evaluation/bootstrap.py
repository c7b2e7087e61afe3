"""Paired bootstrap over clips: how far a mean score, or a difference, can be trusted.

In go per-clip scores of one metric, out come percentile intervals of their mean. The
test set is resampled. A seed and a number of clips fix the resamples, so that systems
and metrics are compared on the same ones.
Checked against the normal approximation and for coverage on synthetic scores.
"""

from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95  # share of the resamples within the bounds
BLOCK = 1 << 20  # scores gathered at once, 8 MB
TIE = 1e-12  # of the largest score: sums of equal scores differ by their rounding


@dataclass(frozen=True)
class Interval:
    """A mean over clips and its bounds, in the scores' own unit."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison(Interval):
    """How much better one system is than another on the same clips."""

    probability: float  # share of resamples in which it is better, ties half


def interval(scores: np.ndarray, *, seed: int = 0) -> Interval:
    """Bound the mean over N clips, scores (N,), by the percentiles of its resamples.

    ValueError if there is no score, or one is not finite.
    """
    bounds, _ = _resampled(scores, seed)
    return bounds


def compare(ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0) -> Comparison:
    """Compare two systems by the differences of their scores (N,), clip by clip.

    A higher score is taken for the better one. ValueError as in `interval`, or if the
    two are not of the same number of clips.
    """
    if len(ours) != len(theirs):
        raise ValueError(
            f"{len(ours)} clips cannot be paired with {len(theirs)}: score both "
            "systems on the same clips"
        )
    bounds, means = _resampled(np.subtract(ours, theirs), seed)
    tied = np.abs(means) <= TIE * np.abs([ours, theirs]).max()
    better = np.where(tied, 0.5, means > 0)
    return Comparison(**vars(bounds), probability=float(better.mean()))


def _resampled(scores: np.ndarray, seed: int) -> tuple[Interval, np.ndarray]:
    """Draw N clips with replacement, again and again; return also all their means."""
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"scores must be (N,), not empty, got {scores.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    clips, rng = len(scores), np.random.default_rng(seed)
    rows = max(1, BLOCK // clips)
    blocks = [
        scores[rng.integers(clips, size=(min(rows, RESAMPLES - start), clips))].mean(1)
        for start in range(0, RESAMPLES, rows)
    ]
    means = np.concatenate(blocks)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(scores.mean()), float(low), float(high)), means
