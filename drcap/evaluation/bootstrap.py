"""How far a mean score, or a difference, can be trusted: clips and seeds are resampled.

In go scores of one metric, a row a seed of training and a column a clip, (S, N), or
(N,) of one seed alone; out come 95 % intervals of their mean. All seeds are of the same
clips, and systems are compared clip by clip and seed by seed.

A resample draws N clips, and S of the seeds' effects: how far a seed's mean lies from
that of all, scaled to the variance between seeds beyond that of clips (an analysis of
variance). Where few seeds tell that variance, the interval is widened as Student's t
(Satterthwaite). With one seed it covers clips alone: another training may lie outside.

The number of clips fixes the resamples, the same ones for all systems and metrics.
Checked against a loop over resamples, the normal approximation and for coverage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import norm, t

RESAMPLES = 10_000
LEVEL = 0.95  # share of the resamples within the bounds
POWER = 0.8  # chance with which `needed` clips and seeds show an effect
MOST_SEEDS, MOST_CLIPS = 50, 100_000  # that `needed` asks for
TIE = 1e-12  # of the largest score: sums of equal scores differ by their rounding


@dataclass(frozen=True)
class Interval:
    """A mean over seeds and clips and its bounds, in the scores' own unit."""

    mean: float
    low: float
    high: float
    seeds: int = 1

    @property
    def covers(self) -> str:
        """What the interval allows for."""
        return "clips alone" if self.seeds < 2 else f"clips and {self.seeds} seeds"


@dataclass(frozen=True)
class Comparison(Interval):
    """How much better one system is than another on the same clips."""

    probability: float = 0.5  # share of resamples in which it is better, ties half
    p_value: float = 1.0  # two-sided, that they are equal; or that they differ by more


@dataclass(frozen=True)
class Spread:
    """The variances of a score: of seeds (NaN of one), of clips and of what is left."""

    seeds: float
    clips: float
    rest: float


def interval(scores: np.ndarray) -> Interval:
    """Bound the mean of scores, (N,) or (S, N), by the percentiles of its resamples.

    ValueError if there is no score, or one is not finite.
    """
    _, bounds = _resampled([_block(scores)])
    return Interval(*bounds)


def compare(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], *, margin: float = 0.0
) -> Comparison:
    """Compare two systems by the differences of their scores, a higher one is better.

    ours, theirs : (N,) or (S, N), or lists of such, of several sets of clips that the
        same trainings captioned: the mean of their differences is compared
    margin : asks instead whether they differ by less than that (two one-sided tests):
        `p_value` is then that they differ by as much

    ValueError as in `interval`, or if the two are not of the same seeds and clips.
    """
    means, bounds = _resampled(differences(ours, theirs))
    scale = max(np.abs(each).max() for each in (*_listed(ours), *_listed(theirs)))
    above, below = (_share(sign * means, -margin, scale) for sign in (1, -1))
    p_value = max(1 - above, 1 - below) if margin else 2 * min(1 - above, 1 - below)
    return Comparison(
        *bounds,
        probability=_share(means, 0.0, scale),
        p_value=min(1.0, p_value + 1 / RESAMPLES),  # no resample is no proof
    )


def differences(
    ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the differences of each set of clips, (S, N); the rest as in `compare`."""
    blocks = []
    for one, other in zip(_listed(ours), _listed(theirs), strict=True):
        one, other = _block(one), _block(other)
        for axis, what in ((1, "clips"), (0, "seeds")):
            if one.shape[axis] != other.shape[axis]:
                raise ValueError(
                    f"{one.shape[axis]} {what} cannot be paired with "
                    f"{other.shape[axis]}: score both systems on the same {what}"
                )
        blocks.append(one - other)
    return blocks


def spread(blocks: Sequence[np.ndarray]) -> Spread:
    """Return the variances of scores, or of differences, of one or more sets (S, N).

    Of several, those of the mean over them, for sets of as many clips as theirs.
    """
    seeds, count = len(blocks[0]), np.mean([block.shape[1] for block in blocks])
    clips = rest = 0.0
    for block in blocks:
        own = block - block.mean(axis=1, keepdims=True)
        left = ((own - own.mean(axis=0)) ** 2).sum() / (own.size - own.shape[1] or 1)
        left *= own.shape[1] / max(own.shape[1] - 1, 1)
        each = max(own.mean(axis=0).var(ddof=1) - left / seeds, 0.0)
        share = count / len(blocks) ** 2 / block.shape[1]
        clips, rest = clips + share * each, rest + share * left
    means = np.mean([block.mean(axis=1) for block in blocks], axis=0)
    between = means.var(ddof=1) if np.ptp(means) else 0.0  # not what rounding leaves
    between = max(between - rest / count, 0.0) if seeds > 1 else np.nan
    return Spread(float(between), float(clips), float(rest))


def needed(blocks: Sequence[np.ndarray]) -> tuple[int, int] | None:
    """Return (clips, seeds) that would show a difference of the size measured.

    So many make a 95 % interval exclude zero in four of five repetitions. The fewest
    seeds, two at least, with which clips can do it; None if none within reason can.
    """
    found, mean = spread(blocks), np.mean([block.mean() for block in blocks])
    allowed = (mean / (norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER))) ** 2
    between = 0.0 if np.isnan(found.seeds) else found.seeds
    for seeds in range(2, MOST_SEEDS + 1):
        left = allowed - between / seeds
        clips = (found.clips + found.rest / seeds) / left if left > 0 else np.inf
        if clips <= MOST_CLIPS:
            return max(2, int(np.ceil(clips))), seeds
    return None


def _listed(scores: Sequence[np.ndarray]) -> list[np.ndarray]:
    return list(scores) if isinstance(scores, list | tuple) else [scores]


def _block(scores: np.ndarray) -> np.ndarray:
    """Return scores as (S, N), checked."""
    block = np.atleast_2d(np.asarray(scores, dtype=np.float64))
    if np.ndim(scores) not in (1, 2) or block.size == 0:
        raise ValueError(
            f"scores must be (N,) or (S, N), not empty, got {np.shape(scores)}"
        )
    if not np.isfinite(block).all():
        raise ValueError("scores must be finite: some are NaN or infinite")
    return block


def _share(means: np.ndarray, bound: float, scale: float) -> float:
    """Return the share of means above a bound, ties half."""
    tied = np.abs(means - bound) <= TIE * scale
    return float(np.where(tied, 0.5, means > bound).mean())


def _resampled(blocks: list[np.ndarray]) -> tuple[np.ndarray, tuple]:
    """Return the means of all resamples, and the fields of their `Interval`."""
    mean = float(np.mean([block.mean() for block in blocks]))
    clips = [_draw(b.mean(axis=0), k) for k, b in enumerate(blocks)]
    means, seeds, tail = np.mean(clips, axis=0), len(blocks[0]), (1 + LEVEL) / 2
    if seeds > 1 and (between := spread(blocks).seeds) > 0:
        effects = np.mean([block.mean(axis=1) for block in blocks], axis=0) - mean
        effects *= np.sqrt(between) / effects.std()
        means = means + _draw(effects, len(blocks))
        part = min(between / seeds / means.var(), 1.0)  # of the variance of the mean
        wider = t.ppf(tail, (seeds - 1) / part**2) / norm.ppf(tail)
        means = mean + (means - mean) * wider
    low, high = np.quantile(means, [1 - tail, tail])
    return means, (mean, float(low), float(high), seeds)


def _draw(values: np.ndarray, seed: int) -> np.ndarray:
    """Return the means of as many draws with replacement, again and again."""
    parts = np.array_split(_counts(len(values), RESAMPLES, seed), 16)
    return np.concatenate([part @ values for part in parts]) / len(values)


@lru_cache(maxsize=8)
def _counts(size: int, resamples: int, seed: int) -> np.ndarray:
    """Return how often each of `size` is drawn, (resamples, size)."""
    rng, rows = np.random.default_rng(seed), []
    for _ in range(resamples):
        rows.append(np.bincount(rng.integers(size, size=size), minlength=size))
    return np.array(rows, dtype=np.uint8)  # none is drawn 256 times
