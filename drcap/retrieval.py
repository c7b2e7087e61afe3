"""Retrieval of similar captions (sec. II-B): the datastore and its plain top-k search.

A datastore pairs distinct captions with their CLAP text embeddings. At inference the
captions nearest to an audio embedding enter the prompt; in training they are drawn by
`drcap.similarity_selection` instead. Checked against a brute-force search.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from drcap import datastore_files
from drcap.clap.batches import encode_captions
from drcap.clap.encoder import CLAP
from drcap.errors import ConfigError, DatastoreError

SPARE = 8  # candidates fetched beyond top_k, among which ties are settled
TIE = 1e-5  # above the rounding error of a float32 inner product of unit rows


@dataclass(frozen=True)
class Match:
    """A caption of a datastore and its cosine similarity to a query."""

    caption: str
    similarity: float  # in [-1, 1], rounded to six decimals


class CaptionDatastore:
    """Distinct captions with their text embeddings, searchable by inner product.

    captions : N texts, stripped, none blank      embeddings : (N, D) float32, unit rows
    encoder : fingerprint of the CLAP model that made the embeddings
    """

    def __init__(self, captions: Sequence[str], embeddings: np.ndarray, encoder: str):
        self.captions = list(captions)
        self.embeddings = np.ascontiguousarray(embeddings, dtype=np.float32)
        self.encoder = encoder
        self._changed()
        _check_rows(self.captions, self._row_of, self.embeddings)

    @classmethod
    def build(
        cls,
        captions: Iterable[str],
        clap: CLAP,
        *,
        batch_size: int = 512,
        progress: bool = True,
    ) -> "CaptionDatastore":
        """Encode the distinct captions, in order of first appearance.

        Texts are compared exactly after stripping; blank ones are left out.
        """
        texts = distinct(captions)
        rows = encode_captions(texts, clap, batch_size=batch_size, progress=progress)
        return cls(texts, rows, clap.fingerprint)

    @classmethod
    def load(cls, folder: Path | str, clap: CLAP | None = None) -> "CaptionDatastore":
        """Read a saved datastore; given `clap`, require that it made the embeddings.

        DatastoreError if it is missing, damaged, or made by another encoder.
        """
        datastore = cls(*datastore_files.read(Path(folder)))
        if clap is not None and datastore.encoder != clap.fingerprint:
            raise DatastoreError(
                f"{folder} was made by the encoder {datastore.encoder}, not by "
                f"{clap.fingerprint}: rebuild it with "
                f"{datastore_files.build_command(Path(folder))}"
            )
        return datastore

    def save(self, folder: Path | str) -> None:
        """Write the datastore to `folder` whole or not at all, replacing one there."""
        datastore_files.write(
            Path(folder), self.captions, self.embeddings, self.encoder
        )

    def __len__(self) -> int:
        return len(self.captions)

    def __contains__(self, caption: str) -> bool:
        return caption.strip() in self._row_of

    @property
    def dim(self) -> int:
        """D, the width of the embeddings."""
        return self.embeddings.shape[1]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the encoder and the captions, as hex; part of cache keys."""
        content = json.dumps([self.encoder, self.captions])
        return hashlib.sha256(content.encode()).hexdigest()

    def add(
        self,
        captions: Iterable[str],
        clap: CLAP,
        *,
        batch_size: int = 512,
        progress: bool = True,
    ) -> int:
        """Append the captions that are not here yet, encoding only them; count them."""
        if clap.fingerprint != self.encoder:
            raise DatastoreError(
                f"the datastore was made by the encoder {self.encoder}, not by "
                f"{clap.fingerprint}: add with the first or build a new datastore"
            )
        new = [caption for caption in distinct(captions) if caption not in self]
        if new:
            rows = encode_captions(new, clap, batch_size=batch_size, progress=progress)
            self.captions += new
            self.embeddings = np.concatenate([self.embeddings, rows])
            self._changed()
        return len(new)

    def remove(self, captions: Iterable[str]) -> int:
        """Drop these captions where they are here; encode nothing; count the dropped.

        The others keep their order.
        """
        dropped = self.rows_of(captions)
        kept = np.setdiff1d(np.arange(len(self)), dropped)
        if len(dropped):
            self.captions = [self.captions[row] for row in kept]
            self.embeddings = self.embeddings[kept]
            self._changed()
        return len(dropped)

    def search(
        self,
        queries: torch.Tensor | np.ndarray,
        top_k: int = 3,
        *,
        exclude: Collection[str] = (),
        own_captions: Sequence[str | None] | None = None,
    ) -> list[list[Match]]:
        """Return each query's `top_k` most similar captions, the nearest first.

        queries : (B, D), unit rows                returns : B lists of top_k matches,
        exclude : captions no query may get        or fewer where fewer are allowed
        own_captions : B captions, each withheld from its own query (None: nothing)

        Equal similarities are ordered as in the datastore, so that a query's result
        does not depend on the queries searched with it.
        """
        if top_k < 0:
            raise ConfigError(f"top_k is {top_k}: it must not be negative")
        queries = self.check_queries(queries).cpu().numpy()
        own_rows = self.own_rows(own_captions, len(queries))
        if not len(queries) or not min(top_k, len(self)):
            return [[] for _ in queries]
        found = self._candidates(queries, top_k, self.rows_of(exclude))
        return [
            self._best(query, rows[(rows >= 0) & (rows != own)], top_k)
            for query, rows, own in zip(queries, found, own_rows, strict=True)
        ]

    def check_queries(self, queries: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return queries as a finite (B, D) float32 tensor, or raise ValueError."""
        queries = torch.as_tensor(queries).to(torch.float32)
        if queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(
                f"expected queries of shape (B, {self.dim}), got {tuple(queries.shape)}"
            )
        if not torch.isfinite(queries).all():
            raise ValueError("the queries hold NaN or infinite values")
        return queries

    def rows_of(self, captions: Iterable[str]) -> np.ndarray:
        """Return the sorted rows of those of `captions` that are in the datastore."""
        if isinstance(captions, str):  # its letters would be looked up, and none found
            raise TypeError("expected a collection of captions, got a single text")
        rows = {self._row_of.get(caption.strip()) for caption in captions} - {None}
        return np.array(sorted(rows), dtype=np.int64)

    def own_rows(
        self, own_captions: Sequence[str | None] | None, queries: int
    ) -> np.ndarray:
        """Return the row of each query's own caption, (B,) int64; -1 where not here."""
        if own_captions is None:
            own_captions = [None] * queries
        if len(own_captions) != queries:
            raise ValueError(
                f"expected {queries} own captions, one a query, got {len(own_captions)}"
            )
        rows = [self._row_of.get((text or "").strip(), -1) for text in own_captions]
        return np.array(rows, dtype=np.int64)

    def matches(self, rows: np.ndarray, similarities: np.ndarray) -> list[Match]:
        """Return the captions in `rows` (k,) with their similarities (k,)."""
        return [
            Match(self.captions[row], float(similarity))
            for row, similarity in zip(rows, similarities, strict=True)
        ]

    def _changed(self) -> None:
        self._row_of = {caption: row for row, caption in enumerate(self.captions)}
        self._index = None

    def _candidates(
        self, queries: np.ndarray, top_k: int, excluded: np.ndarray
    ) -> np.ndarray:
        """Return rows (B, C), -1 where too few, that hold each query's best top_k + 1.

        One more than asked for, as a query's own caption may be among them. C grows
        until no caption left outside can tie with these.
        """
        count = min(top_k + 1 + SPARE, len(self))
        while True:
            scores, rows = self._nearest(queries, count, excluded)
            last = min(top_k, count - 1)
            tied = scores[:, last] - scores[:, -1] < TIE
            if count == len(self) or not tied.any():
                return rows
            count = min(2 * count, len(self))

    def _nearest(
        self, queries: np.ndarray, count: int, excluded: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        import faiss

        if self._index is None:
            self._index = faiss.IndexFlatIP(self.dim)
            self._index.add(self.embeddings)
        parameters = None
        if len(excluded):
            allowed = faiss.IDSelectorNot(faiss.IDSelectorBatch(excluded))
            parameters = faiss.SearchParameters(sel=allowed)
        queries = np.ascontiguousarray(queries)
        return self._index.search(queries, count, params=parameters)

    def _best(self, query: np.ndarray, rows: np.ndarray, top_k: int) -> list[Match]:
        similarities = cosine(query[None], self.embeddings[rows])
        order = np.lexsort((rows, -similarities))[:top_k]
        return self.matches(rows[order], similarities[order])


def distinct(captions: Iterable[str]) -> list[str]:
    """Strip captions, drop blank ones and repeats, keep the order of first appearance.

    Compared as exact text: "A dog barks" and "A dog barks." are two captions.
    """
    return [text for text in dict.fromkeys(c.strip() for c in captions) if text]


def cosine(queries: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """Return the inner products of paired unit rows, (P, D) x (P, D) -> (P,) float64.

    Rounded to six decimals: what lies below depends on the order of summation, and
    ties and band edges must not.
    """
    return np.round(np.sum(queries.astype(np.float64) * captions, axis=1), 6)


def _check_rows(
    captions: list[str], row_of: dict[str, int], embeddings: np.ndarray
) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(captions):
        raise DatastoreError(
            f"{len(captions)} captions do not fit embeddings of shape "
            f"{embeddings.shape}: expected one row a caption"
        )
    if len(row_of) != len(captions):
        raise DatastoreError("the captions repeat: pass each text once")
    norms = np.linalg.norm(embeddings, axis=1)
    if not np.all(np.abs(norms - 1) < 1e-3):  # also false for NaN
        raise DatastoreError("the embeddings are not unit rows: normalise them")
