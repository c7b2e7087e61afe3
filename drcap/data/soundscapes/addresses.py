"""A clip's address: its corpus, subset and index, and what follows from them alone.

Each clip draws from random numbers of its own, and has an id in the manner of YouTube
or Freesound that no other clip has.
"""

import base64
import hashlib
from functools import cache
from typing import NamedTuple

import numpy as np

from drcap.config import SoundscapesConfig

SUBSETS = {  # corpus -> its subsets, named as in the real dataset
    "ac": ("train", "val", "test"),
    "cl": ("development", "validation", "evaluation"),
    "weak": ("all",),
}
PURPOSES = ("scene", "captions", "identity", "alteration")
AUDIOSET, FREESOUND = "AudioSet_SL", "FreeSound"  # sources, named as in WavCaps
FREESOUND_SHARE = 0.27  # of scapes-weak; the rest passes for AudioSet
FREESOUND_IDS = 999_983  # a prime: multiples of a number meet every id once


class Address(NamedTuple):
    """Where a clip is found: all that it depends on but the configuration."""

    corpus: str
    subset: str
    index: int


def sizes(config: SoundscapesConfig) -> dict[tuple[str, str], int]:
    """Return (corpus, subset) -> number of clips."""
    counts = {"ac": config.ac, "cl": config.cl, "weak": (config.weak,)}
    return {
        (corpus, subset): count
        for corpus, subsets in SUBSETS.items()
        for subset, count in zip(subsets, counts[corpus], strict=True)
    }


def stream(
    address: Address, config: SoundscapesConfig, purpose: str
) -> np.random.Generator:
    """Return a clip's random numbers for one purpose, independent of all others."""
    corpus, subset, index = address
    numbers = list(SUBSETS).index(corpus), SUBSETS[corpus].index(subset)
    return np.random.default_rng(
        [config.seed, *numbers, index, PURPOSES.index(purpose)]
    )


def identity(address: Address, config: SoundscapesConfig) -> tuple[str, str]:
    """Return (source, id there): 11 characters as on YouTube, or a Freesound number."""
    freesound = {"ac": 0.0, "cl": 1.0, "weak": FREESOUND_SHARE}[address.corpus]
    if stream(address, config, "identity").random() >= freesound:
        key = f"{config.seed} {' '.join(map(str, address))}".encode()
        digest = hashlib.blake2b(key, digest_size=8).digest()
        return AUDIOSET, base64.urlsafe_b64encode(digest).decode()[:11]
    number = _first_numbers(config)[address[:2]] + address.index
    return FREESOUND, str((number * 611_953 + config.seed) % FREESOUND_IDS + 1)


@cache
def _first_numbers(config: SoundscapesConfig) -> dict[tuple[str, str], int]:
    """Return (corpus, subset) -> the number of its first clip, counted over all."""
    counts = sizes(config)
    first = np.cumsum([0, *counts.values()])[:-1].tolist()
    return dict(zip(counts, first, strict=True))
