"""Similarity selection (sec. II-B, eq. 1): the similar captions of a training prompt.

For each query, k captions are drawn uniformly at random from all captions of the
datastore whose similarity lies in [sim_min, sim_max]: near enough to inform, too far to
be copied. Each (query, caption, seed) has a pseudo-random priority and the k smallest
in the range are kept, so that a draw does not depend on blocks, batches or order. Of
450,000 rows on disk one block at a time is in use. Checked against brute force.

In the space of another CLAP model the paper's range may hold no caption at all, or most
of them: `counts_in_range` counts them, and `refit_range` moves a range to that space.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

from drcap.errors import ConfigError
from drcap.retrieval.datastore import CaptionDatastore, Match, cosine, hashes
from drcap.retrieval.files import float32

# A pair this near an edge of the range is compared again in float64: the matrix product
# is off by some 1e-6 in float32, and by up to 1e-3 where TF32 is switched on.
MARGIN = 2e-3
PAIRS = 2_048  # compared again at once; bounds the gathered rows
BINS = 40_000  # of similarities in [-1, 1]: a quantile is exact to 5e-5
BLOCK = 2_048  # queries, or captions, compared at once; bounds the memory
NOBODY = np.iinfo(np.uint64).max  # a priority above any other

Rows = np.ndarray  # (N, D) float32, unit rows
Range = tuple[float, float]  # lowest and highest similarity


def select_similar(
    query_embeds: torch.Tensor | np.ndarray,
    datastore: CaptionDatastore,
    *,
    k: int = 3,
    sim_min: float = 0.75,
    sim_max: float = 0.85,
    seed: int = 0,
    own_captions: Sequence[str | None] | None = None,
    exclude: Collection[str] = (),
    block_size: int = BLOCK,
    progress: bool = True,
) -> list[list[Match]]:
    """Draw up to k captions for each query, out of those in the similarity range.

    query_embeds : (B, D), unit rows; the matrix products run on its device
    own_captions : B captions, each withheld from its own query (None: nothing)
    exclude : captions that no query may get
    block_size : how many queries, and captions, to compare at once; bounds the memory
    returns : B lists of at most k matches in random order, fewer where fewer qualify

    ConfigError for an impossible k or range, ValueError for queries that do not fit.
    """
    _check_range(sim_min, sim_max)
    if k < 0:
        raise ConfigError(f"k is {k}: it must not be negative")
    queries = datastore.check_queries(query_embeds)
    own_rows = datastore.own_rows(own_captions, len(queries))
    if k == 0 or not len(queries):
        return [[] for _ in queries]
    texts = own_captions or [None] * len(queries)
    identities = hashes(  # of a query's own caption, else of its embedding
        row.tobytes() if text is None else text.strip().encode()
        for text, row in zip(texts, queries.cpu().numpy(), strict=True)
    )
    tickets = _mix(datastore.hashes ^ _mix(np.array([seed % 2**64], dtype=np.uint64)))
    allowed = np.delete(np.arange(len(datastore)), datastore.rows_of(exclude))
    draws = []
    for start in range(0, len(queries), block_size):
        part = slice(start, start + block_size)
        own = queries[part], own_rows[part], identities[part]
        draws.append(_Draw(*own, k, (sim_min, sim_max)))
    bar = {"unit": "caption", "unit_scale": block_size, "delay": 2}
    bar |= {"desc": "selecting similar captions", "disable": not progress}
    for start in tqdm(range(0, len(allowed), block_size), **bar):
        rows = allowed[start : start + block_size]
        stored = datastore.embeddings[rows]
        columns = float32(stored, queries.device).T  # (D, C)
        for draw in draws:
            draw.add(rows, stored, columns, tickets[rows])
    return [matches for draw in draws for matches in draw.matches(datastore)]


class _Draw:
    """What B queries have drawn so far: the k pairs of smallest priority for each."""

    def __init__(self, queries, own_rows, identities, k, sim_range):
        self.queries, self.stored = queries, queries.cpu().numpy()
        self.own_rows, self.identities = own_rows, identities
        self.k, self.sim_range = k, sim_range
        # of the P pairs drawn, ordered by query and priority
        self.query = self.row = np.empty(0, dtype=np.int64)
        self.priority = np.empty(0, dtype=np.uint64)
        # of each query: what a new pair must be below
        self.limit = np.full(len(queries), NOBODY, dtype=np.uint64)

    def add(self, rows, stored, columns, tickets) -> None:
        """Consider C captions: rows (C,), stored (C, D), columns (D, C) float32."""
        low, high = self.sim_range
        products = self.queries @ columns  # (B, C)
        inside = (products >= low - MARGIN) & (products <= high + MARGIN)
        pairs = inside.flatten().nonzero().flatten()
        products = products.flatten()[pairs].cpu().numpy()
        query, column = np.divmod(pairs.cpu().numpy(), len(stored))
        priority = _mix(self.identities[query] ^ tickets[column])
        # a pair too late to be drawn is dropped before it is compared again
        drawn = (priority < self.limit[query]) & (self.own_rows[query] != rows[column])
        query, column, priority = query[drawn], column[drawn], priority[drawn]
        products = products[drawn]
        inside = (products > low + MARGIN) & (products < high - MARGIN)
        unsure = np.flatnonzero(~inside)
        for pairs in np.split(unsure, range(PAIRS, len(unsure), PAIRS)):
            exact = cosine(self.stored[query[pairs]], stored[column[pairs]])
            inside[pairs] = (exact >= low) & (exact <= high)
        query = np.concatenate([self.query, query[inside]])
        row = np.concatenate([self.row, rows[column[inside]]])
        priority = np.concatenate([self.priority, priority[inside]])
        order = np.lexsort((priority, query))
        ordered = query[order]
        place = np.arange(len(order)) - np.searchsorted(ordered, ordered)
        kept = order[place < self.k]
        self.query, self.row, self.priority = query[kept], row[kept], priority[kept]
        last = order[place == self.k - 1]
        self.limit[query[last]] = priority[last]

    def matches(self, datastore: CaptionDatastore) -> Iterator[list[Match]]:
        starts = np.searchsorted(self.query, np.arange(1, len(self.stored)))
        for query, rows in zip(self.stored, np.split(self.row, starts), strict=True):
            similarities = cosine(query[None], datastore.embeddings[rows])
            yield datastore.matches(rows, similarities)


def counts_in_range(
    queries: Rows, captions: Rows, sim_min: float, sim_max: float
) -> np.ndarray:
    """Count the captions (N, D) in range of each query (B, D) -> (B,) int64.

    ConfigError for an impossible range, ValueError for rows of two spaces.
    """
    _check_range(sim_min, sim_max)
    parts = _similarities(queries, captions)
    inside = [((part >= sim_min) & (part <= sim_max)).sum(axis=1) for part in parts]
    return np.concatenate(inside)


def refit_range(
    sim_range: Range, reference: tuple[Rows, Rows], own: tuple[Rows, Rows]
) -> Range:
    """Return the range that means in one space what `sim_range` means in another.

    reference, own : the queries and the captions in either space; the range returned
        cuts the same quantiles off all pairs of `own` as `sim_range` of `reference`

    ConfigError for an impossible range, ValueError for rows of two spaces.
    """
    _check_range(*sim_range)
    below = np.zeros(2)  # pairs below sim_min, and at or below sim_max
    for part in _similarities(*reference):
        below += (part < sim_range[0]).sum(), (part <= sim_range[1]).sum()
    edges, counts = np.linspace(-1, 1, BINS + 1), np.zeros(BINS, dtype=np.int64)
    for part in _similarities(*own):
        counts += np.histogram(np.clip(part, -1, 1), bins=edges)[0]
    shares = np.concatenate([[0], np.cumsum(counts) / counts.sum()])
    quantiles = below / (len(reference[0]) * len(reference[1]))
    low, high = np.interp(quantiles, shares, edges)
    return round(float(low), 4), round(float(high), 4)


def _similarities(queries: Rows, captions: Rows) -> Iterator[np.ndarray]:
    """Yield cosines (block, N), rounded: the order of summation must not matter."""
    if queries.shape[1:] != captions.shape[1:]:
        raise ValueError(f"{queries.shape} and {captions.shape} are of two spaces")
    for start in range(0, len(queries), BLOCK):
        yield np.round(queries[start : start + BLOCK] @ captions.T, 6)


def _check_range(sim_min: float, sim_max: float) -> None:
    if not -1 <= sim_min <= sim_max <= 1:  # also of NaN
        raise ConfigError(
            f"sim_min {sim_min} and sim_max {sim_max} must rise within [-1, 1]"
        )


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble (P,) uint64 until each bit depends on all (splitmix64, last step)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
