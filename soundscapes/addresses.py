"""Which clips there are: addresses, the ids that follow from them, and copies.

A clip's address is its corpus, subset and index. Each clip draws from random numbers of
its own, and has an id in the manner of YouTube or Freesound that no other clip has.

WavCaps holds clips of AudioCaps and Clotho, so that whoever trains on it and tests on
these must filter them out. Half of the copies here keep the id of the original and are
found by it; the others have an id of their own and an altered signal, so that only an
audio fingerprint finds them.
"""

import base64
import hashlib
from functools import cache
from typing import NamedTuple

import numpy as np

from soundscapes import SoundscapesConfig

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


def original_of(weak: Address, config: SoundscapesConfig) -> Address | None:
    """Return the clip that a clip of scapes-weak is a copy of, or None.

    Copies are spread evenly; each is of another clip as long as there are others.
    """
    number = _number(weak.index, config)
    if _number(weak.index + 1, config) == number:
        return None
    originals = _originals(config)
    return originals[number % len(originals)]


def keeps_identity(weak: Address, config: SoundscapesConfig) -> bool:
    """Say whether a copy has the id of its original, which only one copy can."""
    number = _number(weak.index, config)
    return number % 2 == 0 and number < len(_originals(config))


def _number(index: int, config: SoundscapesConfig) -> int:
    """Return how many clips of scapes-weak before this one are copies."""
    return int(index * config.leaked + 1e-9)


@cache
def _originals(config: SoundscapesConfig) -> list[Address]:
    """Return all clips that may be copied, in the order in which they are."""
    clips = [
        Address(corpus, subset, index)
        for (corpus, subset), count in sizes(config).items()
        if corpus != "weak"
        for index in range(count)
    ]
    order = np.random.default_rng([config.seed, len(clips)]).permutation(len(clips))
    return [clips[place] for place in order]
