"""The sound of a scene: each event at its level and distance, in its room.

In: a Scene. Out: (n,) float32 at dsp.SR, never clipped, over a faint noise floor. An
event is generated only for the time it lasts.
"""

import numpy as np

from drcap.data.soundscapes import dsp
from drcap.data.soundscapes.events import GENERATORS
from drcap.data.soundscapes.rooms import ROOMS, reverberate
from drcap.data.soundscapes.scenes import PlacedEvent, Scene

FRAME = 0.125  # seconds over which a level is measured, a sound level meter's "fast"
HEADROOM = 0.89  # the highest peak of a clip, -1 dBFS


def render(scene: Scene) -> np.ndarray:
    """Return a scene's sound, (n,) float32 within +-0.89; the same for one scene."""
    n = dsp.count(scene.seconds)
    rng = np.random.default_rng(scene.seed)
    wave = 10 ** np.float32(scene.floor / 20) * dsp.noise(rng, n)
    for event in scene.events:
        dry = np.pad(render_event(event), (0, dsp.count(ROOMS[scene.room].seconds)))
        heard = reverberate(dry, scene.room, event.distance)
        dsp.place(wave, heard, round(event.start * dsp.SR))
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
