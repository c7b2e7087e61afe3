"""Similarity selection (sec. II-B): the similar captions of a training prompt.

For each query, k captions are drawn uniformly at random from all captions of the
datastore whose similarity lies in [sim_min, sim_max]: near enough to inform, too far to
be copied. Each (query, caption, seed) has a pseudo-random priority and the k smallest
in the band are kept, so that a draw does not depend on blocks, batches or order.
Checked against brute force.
"""

import hashlib
from collections.abc import Collection, Iterable, Iterator, Sequence

import numpy as np
import torch

from drcap.errors import ConfigError
from drcap.retrieval import CaptionDatastore, Match, cosine

# A pair this near an edge of the band is compared again in float64: the matrix product
# is off by some 1e-6 in float32, and by up to 1e-3 where TF32 is switched on.
MARGIN = 2e-3
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
    identities = _identities(queries, own_captions)
    tickets = _tickets(datastore.captions, seed)
    allowed = datastore.rows_without(exclude)
    if k == 0:
        return [[] for _ in queries]
    selected: list[list[Match]] = []
    for part in _parts(len(queries), block_size, progress):
        drawn = _Drawn(len(queries[part]), k)
        for first in range(0, len(allowed), block_size):
            rows = allowed[first : first + block_size]
            query, column = _pairs_in_band(
                queries[part], datastore.embeddings[rows], sim_min, sim_max
            )
            others = rows[column] != own_rows[part][query]
            query, row = query[others], rows[column[others]]
            drawn.add(query, row, _mix(identities[part][query] ^ tickets[row]))
        selected += _matches(queries[part], datastore, drawn.rows)
    return selected


class _Drawn:
    """The k pairs of smallest priority seen so far for each of B queries, in order."""

    def __init__(self, queries: int, k: int):
        self.rows = np.full((queries, k), -1, dtype=np.int64)
        self.priorities = np.full((queries, k), EMPTY, dtype=np.uint64)

    def add(self, query: np.ndarray, row: np.ndarray, priority: np.ndarray) -> None:
        """Consider P pairs of a query and a datastore row, all arrays (P,)."""
        k = self.rows.shape[1]
        open_ = priority < self.priorities[query, -1]
        query, row, priority = query[open_], row[open_], priority[open_]
        order = np.lexsort((priority, query))
        query, row, priority = query[order], row[order], priority[order]
        place = np.arange(len(query)) - np.searchsorted(query, query)
        first = place < k
        new = _Drawn(*self.rows.shape)
        new.rows[query[first], place[first]] = row[first]
        new.priorities[query[first], place[first]] = priority[first]
        self._merge(new)

    def _merge(self, other: "_Drawn") -> None:
        rows = np.hstack([self.rows, other.rows])  # (B, 2k)
        priorities = np.hstack([self.priorities, other.priorities])
        order = np.argsort(priorities, axis=1, kind="stable")[:, : self.rows.shape[1]]
        self.rows = np.take_along_axis(rows, order, axis=1)
        self.priorities = np.take_along_axis(priorities, order, axis=1)


def _check(k: int, sim_min: float, sim_max: float) -> None:
    if k < 0:
        raise ConfigError(f"k is {k}: it must not be negative")
    if not sim_min <= sim_max:
        raise ConfigError(f"sim_min {sim_min} is not at or below sim_max {sim_max}")


def _parts(count: int, block_size: int, progress: bool) -> Iterator[slice]:
    """Yield slices of at most `block_size` queries, under a progress bar."""
    from tqdm import tqdm

    bar = tqdm(
        total=count,
        desc="selecting similar captions",
        unit="query",
        delay=2,
        disable=not progress,
    )
    with bar:
        for start in range(0, count, block_size):
            yield slice(start, start + block_size)
            bar.update(min(block_size, count - start))


def _pairs_in_band(
    queries: torch.Tensor, captions: np.ndarray, sim_min: float, sim_max: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (query, caption) index arrays of the pairs with similarity in the band.

    queries : (B, D)      captions : (C, D) numpy
    """
    products = (queries @ torch.from_numpy(captions).to(queries.device).T).cpu().numpy()
    query, column = np.nonzero(
        (products >= sim_min - MARGIN) & (products <= sim_max + MARGIN)
    )
    near = products[query, column]
    unsure = np.flatnonzero(
        (np.abs(near - sim_min) <= MARGIN) | (np.abs(near - sim_max) <= MARGIN)
    )
    inside = np.ones(len(query), dtype=bool)
    rows = queries.cpu().numpy()
    for start in range(0, len(unsure), 8192):  # bounds the gathered rows
        pairs = unsure[start : start + 8192]
        exact = cosine(rows[query[pairs]], captions[column[pairs]])
        inside[pairs] = (exact >= sim_min) & (exact <= sim_max)
    return query[inside], column[inside]


def _matches(
    queries: torch.Tensor, datastore: CaptionDatastore, drawn: np.ndarray
) -> list[list[Match]]:
    """Turn rows (B, k), -1 where none, into matches with their similarities."""
    lists = []
    for query, places in zip(queries.cpu().numpy(), drawn, strict=True):
        rows = places[places >= 0]
        similarities = cosine(query[None], datastore.embeddings[rows])
        lists.append(datastore.matches(rows, similarities))
    return lists


def _identities(
    queries: torch.Tensor, own_captions: Sequence[str | None] | None
) -> np.ndarray:
    """Return what tells each query apart, (B,) uint64: its text, else its embedding."""
    texts = own_captions or [None] * len(queries)
    rows = queries.cpu().numpy()
    return _hashes(
        row.tobytes() if text is None else text.strip().encode()
        for text, row in zip(texts, rows, strict=True)
    )


def _tickets(captions: Sequence[str], seed: int) -> np.ndarray:
    """Return a pseudo-random number for each caption and this seed, (N,) uint64."""
    seeds = np.array([seed % 2**64], dtype=np.uint64)
    return _mix(_hashes(caption.encode() for caption in captions) ^ _mix(seeds))


def _hashes(contents: Iterable[bytes]) -> np.ndarray:
    digests = b"".join(
        hashlib.blake2b(content, digest_size=8).digest() for content in contents
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def _mix(values: np.ndarray) -> np.ndarray:
    """Scramble (P,) uint64 until each bit depends on all (splitmix64, last step)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
