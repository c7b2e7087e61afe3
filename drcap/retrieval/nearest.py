"""Nearest rows by inner product: exactly, block by block, or approximately by faiss.

Both answer `search` alike, with candidates that `drcap.retrieval` scores again in
float64. The exact search keeps nothing beside the embeddings, and reads each block once
a call. An inverted file (IVF) or a graph (HNSW) reads a few per cent of the rows and
may miss some: `drcap.retrieval.recall` measures how many. Checked against numpy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from drcap.errors import ConfigError
from drcap.files.embeddings import blocks_of

if TYPE_CHECKING:
    import faiss

INDEXES = ("exact", "ivf", "hnsw")
BLOCK = 8_192  # rows compared at once; with 1,024 queries 32 MB of products
POINTS = 64  # rows a list of the IVF is fitted to; faiss wants 39 at least
PROBED = 16  # one list in so many is searched
LINKS, EF_BUILD, EF_SEARCH = 32, 80, 128  # of the HNSW graph
SPARE = 8  # candidates beyond top_k + 1, among which ties are settled
TIE = 1e-5  # above the rounding error of a float32 inner product of unit rows

Found = tuple[np.ndarray, np.ndarray]  # products and rows, (B, count) each


def check_index(kind: str) -> None:
    """Raise ConfigError unless `kind` is a way to search."""
    if kind not in INDEXES:
        raise ConfigError(f"index: unknown '{kind}'; known: {', '.join(INDEXES)}")


class Exact:
    """Every row is compared.

    embeddings : (N, D) float32 or float16, unit rows, perhaps mapped from disk
    """

    exact = True

    def __init__(self, embeddings: np.ndarray):
        self.embeddings = embeddings

    def __len__(self) -> int:
        return len(self.embeddings)

    def search(self, queries: torch.Tensor, count: int, excluded: np.ndarray) -> Found:
        """Return the `count` largest products of each query, falling, and their rows.

        queries : (B, D) float32, on the CPU     excluded : (X,) rows that no query may
        count : at most N                        get, rising
        returns : (B, count) float32 and int64; -1 where fewer rows are allowed
        """
        scores = queries.new_empty(len(queries), 0)
        rows = torch.empty(len(queries), 0, dtype=torch.int64)
        for start, block in blocks_of(self.embeddings, BLOCK):
            products = queries @ block.T  # (B, block)
            first, last = np.searchsorted(excluded, [start, start + len(block)])
            products[:, excluded[first:last] - start] = -torch.inf
            best, places = products.topk(min(count, len(block)), dim=1)
            scores = torch.cat([scores, best], dim=1)
            rows = torch.cat([rows, places + start], dim=1)
            scores, places = scores.topk(min(count, scores.shape[1]), dim=1)
            rows = rows.gather(1, places)
        rows = rows.masked_fill(scores == -torch.inf, -1)
        return scores.numpy(), rows.numpy()


class Approximate:
    """An index of faiss, which holds a copy of all rows at float16.

    embeddings : (N, D), what the index is of; searched where it finds too few
    """

    exact = False

    def __init__(self, index: "faiss.Index", embeddings: np.ndarray):
        self.index = index
        self.every = Exact(embeddings)

    def __len__(self) -> int:
        return len(self.every)

    def search(self, queries: torch.Tensor, count: int, excluded: np.ndarray) -> Found:
        """Return as `Exact` does, and what it does for queries with fewer than `count`.

        A query has fewer where the lists or nodes that it comes by are short of rows.
        """
        settings = self._settings(count, excluded)
        scores, rows = self.index.search(queries.numpy(), count, params=settings)
        few = np.flatnonzero(rows[:, -1] < 0)
        if len(few):
            scores[few], rows[few] = self.every.search(queries[few], count, excluded)
        return scores, rows

    def save(self, path: Path) -> None:
        """Write the index to one file."""
        import faiss

        faiss.write_index(self.index, str(path))

    def _settings(self, count: int, excluded: np.ndarray) -> "faiss.SearchParameters":
        import faiss

        options = {}
        if len(excluded):
            options["sel"] = faiss.IDSelectorNot(faiss.IDSelectorBatch(excluded))
        if isinstance(self.index, faiss.IndexHNSW):
            breadth = max(EF_SEARCH, 2 * count)
            return faiss.SearchParametersHNSW(efSearch=breadth, **options)
        probed = -(-self.index.nlist // PROBED)
        return faiss.SearchParametersIVF(nprobe=probed, **options)


def build_index(
    kind: str, embeddings: np.ndarray, *, seed: int = 0, progress: bool = False
) -> Exact | Approximate:
    """Return what searches embeddings (N, D) in the way called `kind`.

    seed : of the rows that an IVF's lists are fitted to
    """
    from tqdm import tqdm

    check_index(kind)
    if kind == "exact" or not len(embeddings):
        return Exact(embeddings)
    index = _ivf(embeddings, seed) if kind == "ivf" else _hnsw(embeddings.shape[1])
    bar = tqdm(
        total=len(embeddings),
        desc="indexing captions",
        unit="caption",
        delay=2,
        disable=not progress,
    )
    with bar:
        for _, block in blocks_of(embeddings, BLOCK):
            index.add(block.numpy())
            bar.update(len(block))
    return Approximate(index, embeddings)


def read_index(path: Path, kind: str, embeddings: np.ndarray) -> Approximate:
    """Read the index of embeddings (N, D) that `save` wrote; ValueError of another."""
    import faiss

    try:
        index = faiss.read_index(str(path))
    except RuntimeError:
        raise ValueError(f"{path.name} is not an index of faiss") from None
    expected = {"ivf": faiss.IndexIVF, "hnsw": faiss.IndexHNSW}[kind]
    shape = (index.ntotal, index.d)
    if not isinstance(index, expected) or shape != embeddings.shape:
        raise ValueError(f"{path.name} is not the {kind} index of these embeddings")
    return Approximate(index, embeddings)


def candidates(
    nearest: Exact | Approximate,
    queries: torch.Tensor,
    top_k: int,
    excluded: np.ndarray,
) -> np.ndarray:
    """Return rows (B, C), -1 for none, that hold each query's best top_k + 1.

    One more than asked for, as a query's own caption may be among them. C grows until
    no row left outside can tie with these; an approximate search, which may leave out
    better ones, is not asked again.
    """
    allowed = len(nearest) - len(excluded)
    count = min(top_k + 1 + SPARE, allowed)
    while True:
        scores, rows = nearest.search(queries, count, excluded)
        last = min(top_k, count - 1)
        tied = nearest.exact and (scores[:, last] - scores[:, -1] < TIE).any()
        if count == allowed or not tied:
            return rows
        count = min(2 * count, allowed)


def _ivf(embeddings: np.ndarray, seed: int) -> "faiss.Index":
    """Return an empty inverted file whose 2 sqrt(N) lists fit a sample of the rows."""
    import faiss

    count, dim = embeddings.shape
    lists = max(1, min(round(2 * count**0.5), count // POINTS))
    generator = np.random.default_rng(seed)
    sample = generator.choice(count, min(count, POINTS * lists), replace=False)
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dim),
        dim,
        lists,
        faiss.ScalarQuantizer.QT_fp16,
        faiss.METRIC_INNER_PRODUCT,
        False,  # rows as they are, not their distance from the list's centre
    )
    index.cp.seed = seed
    index.cp.min_points_per_centroid = 1  # no message of small datastores
    index.train(embeddings[np.sort(sample)].astype(np.float32))
    return index


def _hnsw(dim: int) -> "faiss.Index":
    """Return an empty navigable graph."""
    import faiss

    index = faiss.IndexHNSWSQ(
        dim, faiss.ScalarQuantizer.QT_fp16, LINKS, faiss.METRIC_INNER_PRODUCT
    )
    index.hnsw.efConstruction = EF_BUILD
    index.train(np.zeros((1, dim), dtype=np.float32))  # halves need no fitting
    return index
