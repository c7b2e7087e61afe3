"""What a similarity range means in the space of a CLAP model (sec. II-B).

The paper's [S_min, S_max] = [0.75, 0.85] belongs to the space of its own CLAP model. In
another space it may hold no caption at all, or most of them: `counts_in_range` says how
many, and `refit_range` moves a range to another space at the same quantiles. Checked
against numpy's quantiles of the whole similarity matrix.
"""

from collections.abc import Iterator

import numpy as np

from drcap.errors import ConfigError

BINS = 40_000  # of similarities in [-1, 1]: a quantile is exact to 5e-5
BLOCK = 2_048  # queries compared at once; bounds the memory

Rows = np.ndarray  # (N, D) float32, unit rows


def counts_in_range(
    queries: Rows, captions: Rows, sim_min: float, sim_max: float
) -> np.ndarray:
    """Count the captions whose similarity lies in the range, of each query: (B,) int64.

    queries : (B, D)      captions : (N, D), a query's own caption among them or not
    """
    _check(sim_min, sim_max)
    inside = (
        ((part >= sim_min) & (part <= sim_max)).sum(axis=1)
        for part in _similarities(queries, captions)
    )
    return np.concatenate(list(inside))


def range_quantiles(
    queries: Rows, captions: Rows, sim_min: float, sim_max: float
) -> tuple[float, float]:
    """Return the shares of all pairs below sim_min, and at or below sim_max."""
    _check(sim_min, sim_max)
    below = upto = 0
    for part in _similarities(queries, captions):
        below += int((part < sim_min).sum())
        upto += int((part <= sim_max).sum())
    pairs = len(queries) * len(captions)
    return below / pairs, upto / pairs


def range_at(
    queries: Rows, captions: Rows, quantiles: tuple[float, float]
) -> tuple[float, float]:
    """Return the range that cuts these quantiles off the similarities of all pairs."""
    edges = np.linspace(-1, 1, BINS + 1)
    counts = np.zeros(BINS, dtype=np.int64)
    for part in _similarities(queries, captions):
        counts += np.histogram(np.clip(part, -1, 1), bins=edges)[0]
    shares = np.concatenate([[0], np.cumsum(counts) / counts.sum()])
    low, high = np.interp(quantiles, shares, edges)
    return round(float(low), 4), round(float(high), 4)


def refit_range(
    sim_range: tuple[float, float],
    reference: tuple[Rows, Rows],
    own: tuple[Rows, Rows],
) -> tuple[float, float]:
    """Return the range that means in one space what `sim_range` means in another.

    reference, own : the queries and the captions in either space
    """
    return range_at(*own, range_quantiles(*reference, *sim_range))


def _similarities(queries: Rows, captions: Rows) -> Iterator[np.ndarray]:
    """Yield cosines (block, N), rounded: the order of summation must not matter."""
    if queries.shape[1:] != captions.shape[1:]:
        raise ValueError(f"{queries.shape} and {captions.shape} are of two spaces")
    for start in range(0, len(queries), BLOCK):
        yield np.round(queries[start : start + BLOCK] @ captions.T, 6)


def _check(sim_min: float, sim_max: float) -> None:
    if not -1 <= sim_min <= sim_max <= 1:
        raise ConfigError(
            f"sim_min {sim_min} and sim_max {sim_max} must rise within [-1, 1]"
        )
