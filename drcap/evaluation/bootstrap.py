"""Paired bootstrap over clips: how far a mean score, or a difference, can be trusted.

In go per-clip scores of one metric, out come percentile intervals of their mean. The
test set is resampled; scores of several seeds are averaged first. A seed and a number
of clips fix the resamples, so that systems and metrics are compared on the same ones.
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
class Comparison:
    """How much better one system is than another on the same clips."""

    difference: Interval
    probability: float  # share of resamples in which it is better, ties half


def interval(values: np.ndarray, *, seed: int = 0) -> Interval:
    """Bound the mean over clips by the percentiles of its resamples.

    values : (N,) scores of N clips, or (S, N) of S seeds

    ValueError if there is no score, or one is not finite.
    """
    scores = _per_clip(values)
    return _bounded(scores, _means(scores, seed))


def compare(ours: np.ndarray, theirs: np.ndarray, *, seed: int = 0) -> Comparison:
    """Compare two systems by the differences of their scores, clip by clip.

    ours, theirs : (N,) or (S, N), clips in one order; S may differ, N may not

    A higher score is taken for the better one. ValueError as in `interval`, or if the
    two are not of the same number of clips.
    """
    first, second = _per_clip(ours), _per_clip(theirs)
    if len(first) != len(second):
        raise ValueError(
            f"{len(first)} clips cannot be paired with {len(second)}: score both "
            "systems on the same clips"
        )
    differences = first - second
    means = _means(differences, seed)
    tied = np.abs(means) <= TIE * np.abs([first, second]).max()
    better = np.where(tied, 0.5, means > 0)
    return Comparison(_bounded(differences, means), float(better.mean()))


def _per_clip(values: np.ndarray) -> np.ndarray:
    """Average over seeds: (N,) or (S, N) -> (N,) float64."""
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim not in (1, 2) or scores.size == 0:
        raise ValueError(
            f"scores must be (N,) or (S, N), not empty, got {scores.shape}"
        )
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    return np.atleast_2d(scores).mean(axis=0)


def _means(scores: np.ndarray, seed: int) -> np.ndarray:
    """Draw N clips with replacement, again and again: (N,) -> (RESAMPLES,) means."""
    clips = len(scores)
    rng = np.random.default_rng(seed)
    rows = max(1, BLOCK // clips)
    blocks = [
        scores[rng.integers(clips, size=(min(rows, RESAMPLES - start), clips))].mean(1)
        for start in range(0, RESAMPLES, rows)
    ]
    return np.concatenate(blocks)


def _bounded(scores: np.ndarray, means: np.ndarray) -> Interval:
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(scores.mean()), float(low), float(high))
