"""The datastore of captions (sec. II-B) and its plain top-k search.

A datastore pairs distinct captions with their CLAP text embeddings. At inference the
captions nearest to an audio embedding enter the prompt; in training they are drawn by
`similarity_selection` instead. Embeddings may be halves and mapped from disk; they are
searched exactly unless an index says otherwise. Checked against brute force.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from drcap.clap.batches import encode_captions
from drcap.clap.encoder import CLAP
from drcap.errors import ConfigError, DatastoreError
from drcap.files.embeddings import check_dtype, check_unit_rows
from drcap.retrieval import datastore_files
from drcap.retrieval.matches import Match, cosine, distinct, hashes
from drcap.retrieval.nearest import (
    Approximate,
    Exact,
    build_index,
    candidates,
    check_index,
)

QUERIES = 1_024  # searched at once; bounds the memory


class CaptionDatastore:
    """Distinct captions with their text embeddings, searchable by inner product.

    captions : N texts, stripped, none blank      embeddings : (N, D) float32, or
    encoder : fingerprint of the CLAP model       float16 if so given; unit rows
    that made the embeddings                      index : exact, ivf or hnsw; how to
                                                  search
    """

    def __init__(
        self,
        captions: Sequence[str],
        embeddings: np.ndarray,
        encoder: str,
        index: str = "exact",
    ):
        check_index(index)
        half = embeddings.dtype == np.float16
        self.captions = list(captions)
        self.embeddings = np.ascontiguousarray(
            embeddings, dtype=np.float16 if half else np.float32
        )
        self.encoder = encoder
        self.index = index
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
        dtype: str = "float32",
        index: str = "exact",
    ) -> "CaptionDatastore":
        """Encode the distinct captions in memory, in order of first appearance.

        Texts are compared exactly after stripping; blank ones are left out.
        `datastore_build.build_datastore` does so on disk, and can be resumed.
        """
        check_dtype(dtype)
        check_index(index)
        texts = distinct(captions)
        rows = encode_captions(texts, clap, batch_size=batch_size, progress=progress)
        return cls(texts, rows.astype(dtype, copy=False), clap.fingerprint, index)

    @classmethod
    def load(cls, folder: Path | str, clap: CLAP | None = None) -> "CaptionDatastore":
        """Open a saved datastore; given `clap`, require that it made the embeddings.

        These stay on disk and are mapped into memory. DatastoreError if the datastore
        is missing, damaged, or made by another encoder.
        """
        captions, embeddings, manifest = datastore_files.read(Path(folder))
        kind = manifest.get("index", "exact")
        datastore = cls(captions, embeddings, manifest["encoder"], kind)
        datastore._nearest = datastore_files.read_index(
            Path(folder), manifest, datastore.embeddings
        )
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
            Path(folder),
            self.captions,
            [self.embeddings],
            dim=self.dim,
            dtype=self.embeddings.dtype.name,
            encoder=self.encoder,
            index=self.index,
            make_index=lambda _: self.nearest,
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
        """SHA-256 of all that a search depends on, as hex; part of cache keys."""
        how = [self.embeddings.dtype.name, self.index]
        content = [self.encoder, self.captions]
        content += [] if how == ["float32", "exact"] else how
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @property
    def nearest(self) -> Exact | Approximate:
        """What answers a search, built when it is first needed."""
        if self._nearest is None:
            self._nearest = build_index(self.index, self.embeddings)
        return self._nearest

    @property
    def hashes(self) -> np.ndarray:
        """What tells each caption apart, (N,) uint64; computed once."""
        if self._hashes is None:
            self._hashes = hashes(caption.encode() for caption in self.captions)
        return self._hashes

    def rows(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings of these rows (k,) in memory, (k, D) float32."""
        return self.embeddings[rows].astype(np.float32, copy=False)

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
            rows = rows.astype(self.embeddings.dtype)
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
        exact: bool = False,
    ) -> list[list[Match]]:
        """Return each query's `top_k` most similar captions, the nearest first.

        queries : (B, D), unit rows                returns : B lists of top_k matches,
        exclude : captions no query may get        or fewer where fewer are allowed
        own_captions : B captions, each withheld from its own query (None: nothing)
        exact : search exactly, whatever the datastore's index

        Equal similarities are ordered as in the datastore, so that a query's result
        does not depend on the queries searched with it.
        """
        if top_k < 0:
            raise ConfigError(f"top_k is {top_k}: it must not be negative")
        queries = self.check_queries(queries).cpu().contiguous()
        own_rows = self.own_rows(own_captions, len(queries))
        excluded = self.rows_of(exclude)
        if not min(len(queries), top_k, len(self) - len(excluded)):
            return [[] for _ in queries]
        nearest = Exact(self.embeddings) if exact else self.nearest
        matches = []
        for start in range(0, len(queries), QUERIES):
            part = slice(start, start + QUERIES)
            found = candidates(nearest, queries[part], top_k, excluded)
            for query, rows, own in zip(
                queries[part].numpy(), found, own_rows[part], strict=True
            ):
                allowed = rows[(rows >= 0) & (rows != own)]
                matches.append(self._best(query, allowed, top_k))
        return matches

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
        return np.delete(np.arange(len(self)), self.rows_of(captions))

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
        self._nearest: Exact | Approximate | None = None
        self._hashes: np.ndarray | None = None

    def _best(self, query: np.ndarray, rows: np.ndarray, top_k: int) -> list[Match]:
        similarities = cosine(query[None], self.embeddings[rows])
        order = np.lexsort((rows, -similarities))[:top_k]
        return self.matches(rows[order], similarities[order])


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
    check_unit_rows(embeddings)
