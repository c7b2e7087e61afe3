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
from typing import TYPE_CHECKING

import numpy as np
import torch

from drcap import datastore_files
from drcap.clap.batches import encode_captions
from drcap.clap.encoder import CLAP
from drcap.errors import ConfigError, DatastoreError

if TYPE_CHECKING:
    import faiss

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
        _check_rows(self.captions, self.embeddings)
        self._changed()

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
        before, kept = len(self), self.rows_without(captions)
        if len(kept) < before:
            self.captions = [self.captions[row] for row in kept]
            self.embeddings = self.embeddings[kept]
            self._changed()
        return before - len(kept)

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
        queries = np.ascontiguousarray(self.check_queries(queries).cpu())
        own_rows = self.own_rows(own_captions, len(queries))
        allowed = self.rows_without(exclude)
        if not min(len(queries), top_k, len(allowed)):
            return [[] for _ in queries]
        found = self._candidates(queries, top_k, allowed)
        return [
            self._best(query, rows[rows != own], top_k)
            for query, rows, own in zip(queries, found, own_rows, strict=True)
        ]

    def check_queries(self, queries: torch.Tensor | np.ndarray) -> torch.Tensor:
        """Return queries as a finite (B, D) float32 tensor, or raise ValueError."""
        queries = torch.as_tensor(queries).detach().to(torch.float32)
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

    def rows_without(self, captions: Iterable[str]) -> np.ndarray:
        """Return the sorted rows of all captions but these."""
        return np.setdiff1d(np.arange(len(self)), self.rows_of(captions))

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
        self, queries: np.ndarray, top_k: int, allowed: np.ndarray
    ) -> np.ndarray:
        """Return rows (B, C) out of `allowed` that hold each query's best top_k + 1.

        One more than asked for, as a query's own caption may be among them. C grows
        until no caption left outside can tie with these.
        """
        index = self._index_of(allowed)
        count = min(top_k + 1 + SPARE, len(allowed))
        while True:
            scores, places = index.search(queries, count)
            last = min(top_k, count - 1)
            tied = scores[:, last] - scores[:, -1] < TIE
            if count == len(allowed) or not tied.any():
                return allowed[places]
            count = min(2 * count, len(allowed))

    def _index_of(self, rows: np.ndarray) -> "faiss.IndexFlatIP":
        """Return an index of these rows; the one of all rows is kept for next time.

        A copy without the excluded rows: faiss's own filter is ten times as slow.
        """
        import faiss

        if len(rows) == len(self) and self._index is not None:
            return self._index
        index = faiss.IndexFlatIP(self.dim)
        index.add(self.embeddings[rows])
        if len(rows) == len(self):
            self._index = index
        return index

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


def _check_rows(captions: list[str], embeddings: np.ndarray) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(captions):
        raise DatastoreError(
            f"{len(captions)} captions do not fit embeddings of shape "
            f"{embeddings.shape}: expected one row a caption"
        )
    if distinct(captions) != captions:
        raise DatastoreError(
            "some captions are repeated, blank or padded with spaces: pass them "
            "through CaptionDatastore.build"
        )
    norms = np.linalg.norm(embeddings, axis=1)
    if not np.all(np.abs(norms - 1) < 1e-3):  # also false for NaN
        raise DatastoreError("the embeddings are not unit rows: normalise them")
