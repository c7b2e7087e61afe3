"""A retrieved caption, and how captions are told apart and compared (sec. II-B)."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


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
    digests = b"".join(
        hashlib.blake2b(content, digest_size=8).digest() for content in contents
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
