"""The sound of a scene: each event at its level and distance, in its room.

In: a Scene. Out: (n,) float32 at dsp.SR, never clipped, over a faint noise floor. An
event is generated only for the time it lasts. Sound that is far away is duller, and a
room answers it the more, the farther it is.
"""

from functools import cache

import numpy as np
import soxr
from scipy import signal

from soundscapes import dsp
from soundscapes.dsp import SR
from soundscapes.events import GENERATORS
from soundscapes.scenes import ROOMS, PlacedEvent, Scene

FRAME = 0.125  # seconds over which a level is measured, a sound level meter's "fast"
CLEAR = 16_000.0  # Hz; highest frequency that is heard a metre away
RATE = 2  # reverberation is computed at SR / RATE: its treble has died away
HEADROOM = 0.89  # the highest peak of a clip, -1 dBFS


def render(scene: Scene) -> np.ndarray:
    """Return a scene's sound, (n,) float32 within +-0.89; the same for one scene."""
    n = dsp.count(scene.seconds)
    rng = np.random.default_rng(scene.seed)
    wave = 10 ** np.float32(scene.floor / 20) * dsp.noise(rng, n)
    for event in scene.events:
        dry = np.pad(render_event(event), (0, dsp.count(ROOMS[scene.room].seconds)))
        sound = reverberate(dry, scene.room, event.distance)
        dsp.place(wave, sound, round(event.start * dsp.SR))
    largest = float(np.abs(wave).max())
    return wave if largest <= HEADROOM else dsp.peak(wave, HEADROOM)


def render_event(event: PlacedEvent) -> np.ndarray:
    """Return one event alone at its level, dry and close: its window's samples."""
    wave = np.zeros(dsp.count(event.seconds), dtype=np.float32)
    seconds = event.bouts[0][1]
    sound = GENERATORS[event.name](np.random.default_rng(event.seed), seconds)
    gain = 10 ** ((event.level - level(sound)) / 20)
    for start, _ in event.bouts:
        dsp.place(wave, sound, round((start - event.start) * dsp.SR), gain)
    return wave


def level(wave: np.ndarray) -> float:
    """Return the RMS of the loudest 125 ms in dB relative to full scale."""
    frame = min(dsp.count(FRAME), len(wave))
    frames = wave[: len(wave) // frame * frame].reshape(-1, frame)
    power = np.einsum("ij,ij->i", frames, frames).max() / frame
    return 10 * float(np.log10(power + 1e-12))


def reverberate(wave: np.ndarray, room: str, distance: float) -> np.ndarray:
    """Return a sound (n,) float32 as heard `distance` metres away in a room.

    The direct sound keeps its level, as a scene states the level that is heard.
    """
    highest = CLEAR / max(distance, 1.0) ** 0.5
    direct = dsp.band(wave, None, highest, 1) if highest < CLEAR else wave
    wet = ROOMS[room].wet
    if wet == 0 or not direct.any():
        return direct
    gain = min(wet * max(distance, 1.0) ** 0.5, 0.5)
    dry = soxr.resample(direct, SR, SR / RATE)
    answer = signal.oaconvolve(dry, _response(room))[: len(dry)]
    answer = soxr.resample(answer.astype(np.float32), SR / RATE, SR)
    direct = direct.copy()
    dsp.place(direct, answer, 0, np.float32(gain))
    return direct


@cache
def _response(room: str) -> np.ndarray:
    """Return a room's response at SR / RATE, unit energy: noise that dies away."""
    seed = list(room.encode())
    n = dsp.count(ROOMS[room].seconds / RATE)
    response = dsp.noise(np.random.default_rng(seed), n) * dsp.decay(n, n / SR, 0.002)
    response[: dsp.count(0.01 / RATE)] = 0  # the way to the nearest wall
    return (response / np.sqrt((response**2).sum())).astype(np.float32)
