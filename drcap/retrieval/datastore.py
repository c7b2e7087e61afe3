"""The datastore of captions (sec. II-B) and its plain top-k search (eq. 3).

A datastore pairs distinct captions with their CLAP text embeddings. At inference the
captions nearest to an audio embedding enter the prompt; in training they are drawn by
`similarity_selection` instead. Checked against brute force.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch

from drcap import cache
from drcap.atomic import atomic_folder
from drcap.clap import CLAP
from drcap.clap.batches import encode_captions
from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import files
from drcap.retrieval.index import Searcher, build_index, check_settings, read_index

QUERIES = 1_024  # searched at once; bounds the memory
CHECKED = 8_192  # rows whose norm is checked at once

Texts = Sequence[str | None]


@dataclass(frozen=True)
class Match:
    """A caption of a datastore and its cosine similarity to a query."""

    caption: str
    similarity: float  # in [-1, 1], rounded to six decimals


def distinct(captions: Iterable[str]) -> list[str]:
    """Strip captions, drop blank ones and repeats, keep the order of first appearance.

    Texts are compared exactly: "A dog barks" and "A dog barks." are two captions.
    TypeError for a single text in place of a collection.
    """
    if isinstance(captions, str):
        raise TypeError("expected a collection of captions, got a single text")
    return [text for text in dict.fromkeys(c.strip() for c in captions) if text]


def cosine(queries: np.ndarray, captions: np.ndarray) -> np.ndarray:
    """Return the inner products of paired unit rows, (P, D) x (P, D) -> (P,) float64.

    They are rounded to six decimals: the digits below depend on the order of summation,
    and neither ties nor the edges of a range may depend on it.
    """
    return np.round(np.sum(queries.astype(np.float64) * captions, axis=1), 6)


def hashes(contents: Iterable[bytes]) -> np.ndarray:
    """Return a 64-bit hash of each of P contents, (P,) uint64."""
    digests = [hashlib.blake2b(content, digest_size=8).digest() for content in contents]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


class CaptionDatastore:
    """Distinct captions with their text embeddings, searchable by inner product.

    captions : N texts, stripped, none blank or repeated
    embeddings : (N, D) float32 or float16, unit rows, perhaps mapped from disk
    encoder : fingerprint of the CLAP model that made them
    index : exact, ivf or hnsw; how to search

    DatastoreError for captions and embeddings that do not fit, ConfigError for an
    unknown index.
    """

    def __init__(
        self,
        captions: Sequence[str],
        embeddings: np.ndarray,
        encoder: str,
        index: str = "exact",
    ):
        check_settings(index)
        dtype = np.float16 if embeddings.dtype == np.float16 else np.float32
        self.captions = list(captions)
        self.embeddings = np.ascontiguousarray(embeddings, dtype)
        self.encoder = encoder
        self.index = index
        if embeddings.ndim != 2 or len(embeddings) != len(captions):
            raise DatastoreError(
                f"{len(captions)} captions do not fit embeddings of shape "
                f"{embeddings.shape}: expected one row a caption"
            )
        if distinct(self.captions) != self.captions:
            raise DatastoreError("captions are repeated, blank or padded: use .build")
        for _, block in files.blocks_of(self.embeddings, CHECKED):
            norms = torch.linalg.vector_norm(block, dim=1)
            if not ((norms - 1).abs() < 1e-3).all():  # also false for NaN
                raise DatastoreError("the embeddings are not unit rows: normalise them")

    @classmethod
    def build(
        cls,
        captions: Iterable[str],
        clap: CLAP,
        *,
        dtype: str = "float32",
        index: str = "exact",
        **encoding,
    ) -> Self:
        """Encode the distinct captions in memory, in order of first appearance.

        encoding : options of `encode_captions`: batch_size, progress

        `drcap.retrieval.build.build_datastore` does so on disk and can be resumed.
        """
        check_settings(index, dtype)
        texts = distinct(captions)
        rows = encode_captions(texts, clap, **encoding).astype(dtype, copy=False)
        return cls(texts, rows, clap.fingerprint, index)

    @classmethod
    def kept(cls, captions: Iterable[str], clap: CLAP, **encoding) -> Self:
        """Return the datastore of these captions from the cache, built if it is new."""

        def write(folder: Path) -> None:
            cls.build(texts, clap, **encoding).save(folder)

        texts = distinct(captions)
        key = [files.VERSION, clap.fingerprint, texts]
        return cls.load(cache.keep_folder("datastores", key, write), clap)

    @classmethod
    def load(cls, folder: Path | str, clap: CLAP | None = None) -> Self:
        """Open a saved datastore, its embeddings mapped into memory.

        clap : the encoder that must have made the embeddings; None: any

        DatastoreError if the folder is missing, damaged, or made by another encoder.
        """
        folder = Path(folder)
        captions, embeddings, manifest = files.read(folder)
        encoder, index = manifest["encoder"], manifest["index"]
        if clap is not None and encoder != clap.fingerprint:
            raise files.unusable(
                folder, f"was made by the encoder {encoder}, not by {clap.fingerprint}"
            )
        datastore = cls(captions, embeddings, encoder, index)
        if files.INDEX in manifest["sha256"]:
            path = folder / files.INDEX
            datastore.searcher = read_index(path, index, datastore.embeddings)
        return datastore

    def save(self, folder: Path | str) -> None:
        """Write the datastore to `folder`, replacing another datastore there.

        DatastoreError if the folder holds anything else.
        """
        files.check_target(folder, overwrite=True)
        with atomic_folder(Path(folder)) as aside:
            np.save(aside / files.EMBEDDINGS, self.embeddings)
            self.searcher.save(aside / files.INDEX)
            files.complete(aside, self.captions, self.encoder, self.index)

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
        content = [self.encoder, self.captions, self.embeddings.dtype.name, self.index]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    @cached_property
    def searcher(self) -> Searcher:
        """The search of this datastore's index, built when it is first needed."""
        return build_index(self.index, self.embeddings)

    @cached_property
    def hashes(self) -> np.ndarray:
        """A hash of each caption, (N,) uint64."""
        return hashes(caption.encode() for caption in self.captions)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {caption: row for row, caption in enumerate(self.captions)}

    def embeddings_of(self, captions: Sequence[str]) -> np.ndarray:
        """Return the embeddings of M captions, repeats included: (M, D) float32.

        DatastoreError names a caption that is not in the datastore.
        """
        rows = self.own_rows(captions, len(captions))
        if (rows < 0).any():
            lacking = captions[rows.argmin()]
            raise DatastoreError(
                f"the datastore lacks the caption '{lacking}': build it from all "
                "captions that are used"
            )
        return self.embeddings[rows].astype(np.float32, copy=False)

    def add(self, captions: Iterable[str], clap: CLAP, **encoding) -> int:
        """Append the captions that are not here yet, encoding only them; count them.

        DatastoreError if another encoder made the datastore.
        """
        if clap.fingerprint != self.encoder:
            raise DatastoreError(
                f"the datastore was made by the encoder {self.encoder}, not by "
                f"{clap.fingerprint}: build a new one"
            )
        new = [caption for caption in distinct(captions) if caption not in self]
        if new:
            rows = encode_captions(new, clap, **encoding).astype(self.embeddings.dtype)
            self._replace(self.captions + new, np.concatenate([self.embeddings, rows]))
        return len(new)

    def remove(self, captions: Iterable[str]) -> int:
        """Drop these captions where they are here; count them. Encodes nothing."""
        dropped = self.rows_of(captions)
        if len(dropped):
            kept = np.delete(np.arange(len(self)), dropped)
            self._replace([self.captions[row] for row in kept], self.embeddings[kept])
        return len(dropped)

    def _replace(self, captions: list[str], embeddings: np.ndarray) -> None:
        self.captions, self.embeddings = captions, embeddings
        for name in ("searcher", "hashes", "_row_of"):
            self.__dict__.pop(name, None)

    def search(
        self,
        queries: torch.Tensor | np.ndarray,
        top_k: int = 3,
        *,
        exclude: Collection[str] = (),
        own_captions: Texts | None = None,
        exact: bool = False,
    ) -> list[list[Match]]:
        """Return each query's `top_k` most similar captions, the nearest first (eq. 3).

        queries : (B, D), unit rows; a row of zeros, a silent recording, gets nothing
        exclude : captions that no query may get
        own_captions : B captions, each withheld from its own query (None: nothing)
        exact : search exactly, whatever the datastore's index
        returns : B lists of top_k matches, or fewer where fewer are allowed

        Equal similarities are ordered as in the datastore: a query's result does not
        depend on the others. ConfigError for a negative top_k, ValueError for queries
        or own captions that do not fit.
        """
        if top_k < 0:
            raise ConfigError(f"top_k is {top_k}: it must not be negative")
        queries = self.check_queries(queries).cpu().contiguous()
        own_rows = self.own_rows(own_captions, len(queries))
        excluded = self.rows_of(exclude)
        matches: list[list[Match]] = [[] for _ in queries]
        audible = queries.any(dim=1).nonzero().flatten()
        if not min(len(audible), top_k, len(self) - len(excluded)):
            return matches
        searcher = Searcher(self.embeddings) if exact else self.searcher
        for part in audible.split(QUERIES):
            nearest = searcher.candidates(queries[part], top_k, excluded)
            for place, rows in zip(part.tolist(), nearest, strict=True):
                rows = rows[(rows >= 0) & (rows != own_rows[place])]
                query = queries[place].numpy()
                similarities = cosine(query[None], self.embeddings[rows])
                order = np.lexsort((rows, -similarities))[:top_k]
                matches[place] = self.matches(rows[order], similarities[order])
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
        rows = {self._row_of.get(caption) for caption in distinct(captions)} - {None}
        return np.array(sorted(rows), dtype=np.int64)

    def own_rows(self, own_captions: Texts | None, queries: int) -> np.ndarray:
        """Return the row of each query's own caption, (B,) int64; -1 where not here."""
        if own_captions is None:
            return np.full(queries, -1, dtype=np.int64)
        if len(own_captions) != queries:
            raise ValueError(
                f"expected {queries} own captions, one a query, got {len(own_captions)}"
            )
        rows = [self._row_of.get((text or "").strip(), -1) for text in own_captions]
        return np.array(rows, dtype=np.int64)

    def matches(self, rows: np.ndarray, similarities: np.ndarray) -> list[Match]:
        """Return the captions in `rows` (k,) with their similarities (k,)."""
        texts = [self.captions[row] for row in rows]
        return [*map(Match, texts, similarities.tolist())]
