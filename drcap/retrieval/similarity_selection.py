"""Similarity selection (sec. II-B): the similar captions of a training prompt.

For each query, k captions are drawn uniformly at random from all captions of the
datastore whose similarity lies in [sim_min, sim_max]: near enough to inform, too far to
be copied. Each (query, caption, seed) has a pseudo-random priority and the k smallest
in the band are kept, so that a draw does not depend on blocks, batches or order. Each
block of captions is read once and meets all queries, block by block: of 450,000 rows
on disk no more than a block is in use. Checked against brute force.
"""

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import torch

from drcap.errors import ConfigError
from drcap.files.embeddings import float32
from drcap.retrieval.datastore import CaptionDatastore
from drcap.retrieval.matches import Match, cosine, hashes

# A pair this near an edge of the band is compared again in float64: the matrix product
# is off by some 1e-6 in float32, and by up to 1e-3 where TF32 is switched on.
MARGIN = 2e-3
PAIRS = 2_048  # compared again at once; bounds the gathered rows
EMPTY = np.iinfo(np.uint64).max  # the priority of a place that nothing has taken


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
    block_size: int = 2048,
    progress: bool = True,
) -> list[list[Match]]:
    """Draw up to k captions for each query, out of those in the similarity band.

    query_embeds : (B, D), unit rows; the matrix products run on its device
    own_captions : B captions, each withheld from its own query (None: nothing)
    exclude : captions that no query may get
    block_size : how many queries, and captions, to compare at once; bounds the memory
    returns : B lists of at most k matches in random order, fewer where fewer qualify
    """
    _check(k, sim_min, sim_max)
    queries = datastore.check_queries(query_embeds)
    own_rows = datastore.own_rows(own_captions, len(queries))
    if k == 0 or not len(queries):
        return [[] for _ in queries]
    identities = _identities(queries, own_captions)
    tickets = _tickets(datastore, seed)
    withheld = np.zeros(len(datastore), dtype=bool)
    withheld[datastore.rows_of(exclude)] = True
    draws = [
        _Draw(queries[part], own_rows[part], identities[part], k)
        for part in _parts(len(queries), block_size)
    ]
    for part in _parts(len(datastore), block_size, progress):
        block = _Block(part, datastore.embeddings[part], queries.device)
        for draw in draws:
            draw.add(block, (sim_min, sim_max), tickets[part], withheld[part])
    return [matches for draw in draws for matches in draw.matches(datastore)]


class _Block:
    """Captions that are compared at once: rows of the datastore, (C, D)."""

    def __init__(self, rows: slice, stored: np.ndarray, device: torch.device):
        self.first = rows.start
        self.stored = stored  # as the datastore has them, perhaps on disk
        self.columns = float32(stored, device).T  # (D, C), where the products are


class _Draw:
    """What B queries have drawn so far: the k pairs of smallest priority, in order.

    queries : (B, D)      own_rows : (B,), -1 for none      identities : (B,) uint64
    """

    def __init__(
        self,
        queries: torch.Tensor,
        own_rows: np.ndarray,
        identities: np.ndarray,
        k: int,
    ):
        self.queries, self.stored = queries, queries.cpu().numpy()
        self.own_rows = own_rows
        self.identities = identities
        self.rows = np.full((len(queries), k), -1, dtype=np.int64)
        self.priorities = np.full((len(queries), k), EMPTY, dtype=np.uint64)

    def add(
        self,
        block: _Block,
        band: tuple[float, float],
        tickets: np.ndarray,
        withheld: np.ndarray,
    ) -> None:
        """Consider the captions of a block, with their tickets (C,) and bans (C,).

        A pair too late to be drawn is dropped before it is compared again.
        """
        query, column, near = self._near(block, band)
        priority = _mix(self.identities[query] ^ tickets[column])
        drawn = (priority < self.priorities[query, -1]) & ~withheld[column]
        drawn &= self.own_rows[query] != block.first + column
        query, column, priority = query[drawn], column[drawn], priority[drawn]
        inside = self._inside(block, band, query, column, near[drawn])
        self._take(query[inside], block.first + column[inside], priority[inside])

    def _near(
        self, block: _Block, band: tuple[float, float]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return query, column and product (P,) of the pairs in or near the band."""
        products = self.queries @ block.columns  # (B, C)
        inside = (products >= band[0] - MARGIN) & (products <= band[1] + MARGIN)
        pairs = inside.flatten().nonzero().flatten()
        near = products.flatten()[pairs].cpu().numpy()
        return *np.divmod(pairs.cpu().numpy(), products.shape[1]), near

    def _inside(
        self,
        block: _Block,
        band: tuple[float, float],
        query: np.ndarray,
        column: np.ndarray,
        near: np.ndarray,
    ) -> np.ndarray:
        """Tell which of P pairs lie in the band, (P,) bool; exactly at its edges."""
        inside = (near > band[0] + MARGIN) & (near < band[1] - MARGIN)
        unsure = np.flatnonzero(~inside)
        for start in range(0, len(unsure), PAIRS):
            pairs = unsure[start : start + PAIRS]
            exact = cosine(self.stored[query[pairs]], block.stored[column[pairs]])
            inside[pairs] = (exact >= band[0]) & (exact <= band[1])
        return inside

    def _take(self, query: np.ndarray, row: np.ndarray, priority: np.ndarray) -> None:
        """Keep the best of P pairs and those drawn before, all arrays (P,)."""
        k = self.rows.shape[1]
        order = np.lexsort((priority, query))
        query, row, priority = query[order], row[order], priority[order]
        place = np.arange(len(query)) - np.searchsorted(query, query)
        first = place < k
        at = query[first], k + place[first]
        rows = np.hstack([self.rows, np.full_like(self.rows, -1)])  # (B, 2k)
        priorities = np.hstack([self.priorities, np.full_like(self.priorities, EMPTY)])
        rows[at], priorities[at] = row[first], priority[first]
        order = np.argsort(priorities, axis=1, kind="stable")[:, :k]
        self.rows = np.take_along_axis(rows, order, axis=1)
        self.priorities = np.take_along_axis(priorities, order, axis=1)

    def matches(self, datastore: CaptionDatastore) -> Iterator[list[Match]]:
        """Yield the matches of each query, with their similarities."""
        for query, places in zip(self.stored, self.rows, strict=True):
            rows = places[places >= 0]
            similarities = cosine(query[None], datastore.embeddings[rows])
            yield datastore.matches(rows, similarities)


def _check(k: int, sim_min: float, sim_max: float) -> None:
    if k < 0:
        raise ConfigError(f"k is {k}: it must not be negative")
    if not sim_min <= sim_max:
        raise ConfigError(f"sim_min {sim_min} is not at or below sim_max {sim_max}")


def _parts(count: int, block_size: int, progress: bool = False) -> Iterator[slice]:
    """Yield slices of at most `block_size`, of captions under a progress bar."""
    from tqdm import tqdm

    bar = tqdm(
        total=count,
        desc="selecting similar captions",
        unit="caption",
        delay=2,
        disable=not progress,
    )
    with bar:
        for start in range(0, count, block_size):
            yield slice(start, min(start + block_size, count))
            bar.update(min(block_size, count - start))


def _identities(
    queries: torch.Tensor, own_captions: Sequence[str | None] | None
) -> np.ndarray:
    """Return what tells each query apart, (B,) uint64: its text, else its embedding."""
    texts = own_captions or [None] * len(queries)
    rows = queries.cpu().numpy()
    return hashes(
        row.tobytes() if text is None else text.strip().encode()
        for text, row in zip(texts, rows, strict=True)
    )


def _tickets(datastore: CaptionDatastore, seed: int) -> np.ndarray:
    """Return a pseudo-random number for each caption and this seed, (N,) uint64."""
    seeds = np.array([seed % 2**64], dtype=np.uint64)
    return _mix(datastore.hashes ^ _mix(seeds))


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble (P,) uint64 until each bit depends on all (splitmix64, last step)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
