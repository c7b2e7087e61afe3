"""Which clips of scapes-weak are copies of clips of the other two, and how altered.

WavCaps holds clips of AudioCaps and Clotho, so that whoever trains on it and tests on
these must filter them out. Half of the copies here keep the id of the original and are
found by it; the others have an id of their own and an altered signal, so that only an
audio fingerprint finds them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from drcap.config import SoundscapesConfig
from drcap.data.soundscapes import dsp
from drcap.data.soundscapes.addresses import Address, sizes, stream

OFFSET = (-0.5, 0.5)  # seconds
GAIN = (-9.0, -1.0)  # dB
NOISE = (-62.0, -52.0)  # dB relative to full scale
CUTOFF = (5_000.0, 12_000.0)  # Hz


@dataclass(frozen=True)
class Alteration:
    """How a copy differs from the clip that it was made from."""

    offset: float  # seconds cut from the start, or of lead-in if below 0
    gain: float  # dB
    noise: float  # dB relative to full scale, white
    cutoff: float  # Hz, of a low-pass

    def apply(self, wave: np.ndarray, seed: int) -> np.ndarray:
        """Return what sounds like `wave` (n,), although no two samples agree."""
        lead = np.zeros(max(0, round(-self.offset * dsp.SR)), dtype=np.float32)
        wave = np.concatenate([lead, wave[max(0, round(self.offset * dsp.SR)) :]])
        wave = 10 ** (self.gain / 20) * dsp.band(wave, high=self.cutoff)
        hiss = dsp.noise(np.random.default_rng(seed), len(wave))
        return (wave + 10 ** (self.noise / 20) * hiss).clip(-1, 1)


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


def alteration_of(weak: Address, config: SoundscapesConfig) -> Alteration:
    """Return how a copy under an id of its own is altered."""
    rng = stream(weak, config, "alteration")
    return Alteration(
        offset=round(float(rng.uniform(*OFFSET)), 3),
        gain=round(float(rng.uniform(*GAIN)), 1),
        noise=round(float(rng.uniform(*NOISE)), 1),
        cutoff=round(float(rng.uniform(*CUTOFF))),
    )


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
