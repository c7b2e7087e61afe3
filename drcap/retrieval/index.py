"""Nearest captions by inner product (eq. 3): exactly, or approximately by faiss.

The exact search reads each block of embeddings once a call. An inverted file (IVF) or a
graph (HNSW) reads a few per cent of the rows and may miss some: `recall` measures how
many. Both give candidates, which the datastore scores again in float64. Checked against
numpy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from drcap.errors import ConfigError, check_choice
from drcap.retrieval.files import blocks_of, unusable

if TYPE_CHECKING:
    import faiss

    from drcap.retrieval.datastore import CaptionDatastore

# how to search -> faiss' own name of the index; both copy the rows at float16
INDEXES = {"exact": None, "ivf": "IVF{lists},SQfp16", "hnsw": "HNSW32,SQfp16"}
DTYPES = ("float32", "float16")
BLOCK = 8_192  # rows compared at once; with 1,024 queries 32 MB of products
POINTS = 64  # rows a list of the IVF is fitted to; faiss wants 39 at least
PROBED = 16  # an IVF searches one list in so many
EF_BUILD, EF_SEARCH = 80, 128  # breadth of the graph's search
SPARE = 8  # candidates beyond top_k + 1, among which ties are settled
TIE = 1e-5  # above the rounding error of a float32 inner product of unit rows
SAMPLE = 256  # captions that `recall` draws


def check_settings(index: str = "exact", dtype: str = "float32") -> None:
    """Raise ConfigError for an unknown way to search or to store embeddings."""
    check_choice("index", index, INDEXES, ConfigError)
    check_choice("dtype", dtype, DTYPES, ConfigError)


class Searcher:
    """Finds the nearest rows, by comparing all or by an index of faiss.

    embeddings : (N, D) float32 or float16, unit rows     index : None: all are compared
    """

    def __init__(self, embeddings: np.ndarray, index: "faiss.Index | None" = None):
        self.embeddings = embeddings
        self.index = index

    def search(
        self, queries: torch.Tensor, count: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the `count` largest products of each query, falling, and their rows.

        queries : (B, D) float32, on the CPU     excluded : (X,) rows that no query may
        count : at most N                        get, rising
        returns : (B, count) float32 and int64; -1 where fewer rows are allowed
        """
        if self.index is None:
            return self._compare_all(queries, count, excluded)
        import faiss

        allowed = faiss.IDSelectorNot(faiss.IDSelectorBatch(excluded))
        options = {"sel": allowed} if len(excluded) else {}
        if isinstance(self.index, faiss.IndexHNSW):
            breadth = max(EF_SEARCH, 2 * count)
            settings = faiss.SearchParametersHNSW(efSearch=breadth, **options)
        else:
            probed = -(-self.index.nlist // PROBED)
            settings = faiss.SearchParametersIVF(nprobe=probed, **options)
        scores, rows = self.index.search(queries.numpy(), count, params=settings)
        few = np.flatnonzero(rows[:, -1] < 0)  # too few rows were visited
        if len(few):
            scores[few], rows[few] = self._compare_all(queries[few], count, excluded)
        return scores, rows

    def _compare_all(self, queries, count, excluded):
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

    def candidates(
        self, queries: torch.Tensor, top_k: int, excluded: np.ndarray
    ) -> np.ndarray:
        """Return rows (B, C), -1 for none, that hold each query's best top_k + 1.

        One more than top_k, as a query's own caption may be among them. C grows until
        no row left outside can tie with these; an index is searched only once.
        """
        allowed = len(self.embeddings) - len(excluded)
        count = min(top_k + 1 + SPARE, allowed)
        while True:
            scores, rows = self.search(queries, count, excluded)
            margin = scores[:, min(top_k, count - 1)] - scores[:, -1]
            tied = self.index is None and (margin < TIE).any()
            if count == allowed or not tied:
                return rows
            count = min(2 * count, allowed)

    def save(self, path: Path) -> None:
        """Write the index, if there is one, to a file."""
        if self.index is not None:
            import faiss

            with open(path, "wb") as file:  # a full disk is then an OSError
                faiss.write_index(self.index, faiss.PyCallbackIOWriter(file.write))


def build_index(kind: str, embeddings: np.ndarray) -> Searcher:
    """Return what searches embeddings (N, D) in the way called `kind`."""
    if kind == "exact" or not len(embeddings):
        return Searcher(embeddings)
    import faiss

    count, dim = embeddings.shape
    lists = max(1, min(round(2 * count**0.5), count // POINTS))
    name = INDEXES[kind].format(lists=lists)
    index = faiss.index_factory(dim, name, faiss.METRIC_INNER_PRODUCT)
    if kind == "hnsw":
        index.hnsw.efConstruction = EF_BUILD
        index.train(np.zeros((1, dim), dtype=np.float32))  # halves need no fitting
    else:
        index.by_residual = False  # rows as they are, not their distance from a centre
        index.cp.seed = 0
        index.cp.min_points_per_centroid = 1  # no warning about small datastores
        size = min(count, POINTS * lists)
        sample = np.random.default_rng(0).choice(count, size, replace=False)
        index.train(embeddings[np.sort(sample)].astype(np.float32))
    bar = {"unit": "caption", "unit_scale": BLOCK, "total": -(-count // BLOCK)}
    blocks = blocks_of(embeddings, BLOCK)
    for _, block in tqdm(blocks, "indexing captions", delay=2, leave=False, **bar):
        index.add(block.numpy())
    return Searcher(embeddings, index)


def read_index(path: Path, kind: str, embeddings: np.ndarray) -> Searcher:
    """Read the index of embeddings (N, D) that `save` wrote; DatastoreError if not."""
    import faiss

    try:
        index = faiss.read_index(str(path))
    except RuntimeError:
        index = None
    expected = {"ivf": faiss.IndexIVF, "hnsw": faiss.IndexHNSW}.get(kind, ())
    if not isinstance(index, expected) or (index.ntotal, index.d) != embeddings.shape:
        problem = f"is damaged, {path.name} is not the {kind} index of these embeddings"
        raise unusable(path.parent, problem)
    return Searcher(embeddings, index)


def recall(
    datastore: "CaptionDatastore",
    queries: torch.Tensor | np.ndarray | None = None,
    top_k: int = 3,
) -> float:
    """Return the share in [0, 1] of the exact `top_k` that the datastore's index finds.

    queries : (B, D), unit rows; None: captions drawn at random search for their
        neighbours, which says little of audio: it lies elsewhere in the space

    A caption as similar as the last of the exact ones counts as one of them.
    """
    own = None
    if queries is None:
        size, count = len(datastore), min(SAMPLE, len(datastore))
        rows = np.random.default_rng(0).choice(size, count, replace=False)
        own = [datastore.captions[row] for row in rows]
        queries = datastore.embeddings_of(own)
    hits = wanted = 0
    exact = datastore.search(queries, top_k, own_captions=own, exact=True)
    approximate = datastore.search(queries, top_k, own_captions=own)
    for best, matches in zip(exact, approximate, strict=True):
        floor = best[-1].similarity if best else 0.0
        hits += sum(match.similarity >= floor for match in matches)
        wanted += len(best)
    return hits / wanted if wanted else 1.0
