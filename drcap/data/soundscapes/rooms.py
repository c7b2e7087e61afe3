"""Where a scene is heard: sound that is far away is duller, and rooms answer.

In: the dry sound of an event at its level. Out: the same length, with the air's
absorption and the room's reverberation, of which there is more the farther it is.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import soxr
from scipy import signal

from drcap.audio import fit_length
from drcap.data.soundscapes.dsp import SR, band, count, decay, noise

CLEAR = 16_000.0  # Hz; highest frequency that is heard a metre away
RATE = 2  # reverberation is computed at SR / RATE: its treble has died away


@dataclass(frozen=True)
class Room:
    """A place: indoors or outdoors, its reverberation time in seconds and strength."""

    place: str
    seconds: float  # until the reverberation has fallen by 60 dB
    wet: float  # amplitude of the reverberation of a sound one metre away


ROOMS = {
    "open air": Room("outdoors", 0.0, 0.0),
    "street": Room("outdoors", 0.5, 0.02),
    "valley": Room("outdoors", 1.2, 0.02),
    "small room": Room("indoors", 0.3, 0.10),
    "living room": Room("indoors", 0.5, 0.08),
    "bathroom": Room("indoors", 0.8, 0.15),
    "hall": Room("indoors", 1.6, 0.10),
}


def reverberate(wave: np.ndarray, room: str, distance: float) -> np.ndarray:
    """Return a sound (n,) float32 as heard `distance` metres away in a room.

    The direct sound keeps its level, as a scene states the level that is heard.
    """
    highest = CLEAR / max(distance, 1.0) ** 0.5
    heard = band(wave, None, highest, 1) if highest < CLEAR else wave
    place = ROOMS[room]
    if place.wet == 0 or not heard.any():
        return heard
    gain = min(place.wet * max(distance, 1.0) ** 0.5, 0.5)
    dry = soxr.resample(heard, SR, SR / RATE)
    answer = signal.oaconvolve(dry, _response(room))[: len(dry)]
    answer = soxr.resample(answer.astype(np.float32), SR / RATE, SR)
    return heard + np.float32(gain) * fit_length(answer, len(heard))


@cache
def _response(room: str) -> np.ndarray:
    """Return a room's response at SR / RATE, unit energy: noise that dies away."""
    seed = list(room.encode())
    n = count(ROOMS[room].seconds / RATE)
    response = noise(np.random.default_rng(seed), n) * decay(n, n / SR, 0.002)
    response[: count(0.01 / RATE)] = 0  # the way to the nearest wall
    return (response / np.sqrt((response**2).sum())).astype(np.float32)
