"""Tools: hammering, saw, drill, vacuum cleaner."""

from collections.abc import Callable

import numpy as np

from drcap.data.soundscapes.dsp import (
    SR,
    band,
    burst,
    buzz,
    count,
    finished,
    noise,
    place,
    resonate,
    rhythm,
    wander,
)


def hammering(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Blows on a nail: a thud of the wood and a short ring of the steel."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    wood, steel = rng.uniform(200, 450), rng.uniform(2_200, 3_800)
    for time in rhythm(rng, seconds, rng.uniform(1.6, 3.2), 0.08):
        blow = burst(rng, 0.14, 80, 9_000)
        hit = resonate(blow, wood, 150) + 0.4 * resonate(blow, steel, 250) + 0.15 * blow
        place(wave, hit, count(time), rng.uniform(0.7, 1))
    return finished(wave + 2e-4 * noise(rng, len(wave)))


def saw(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Strokes forth and back, each a run of teeth; forth is louder."""
    n = count(seconds)
    stroke = np.sin(
        2 * np.pi * np.cumsum(rng.uniform(0.9, 1.7) * wander(rng, n, 1, 0.9, 1.1)) / SR
    )
    force = (np.maximum(0, stroke) + 0.5 * np.maximum(0, -stroke)).astype(np.float32)
    teeth = np.maximum(0, buzz(60 + 140 * np.abs(stroke), n)) ** 2
    rasp = band(noise(rng, n), 500, 7_000) * (0.3 + teeth)
    blade = resonate(rasp, rng.uniform(900, 1_800), 500)
    return finished((rasp + 2 * blade) * force**0.7)


def drill(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A geared motor that starts, drops under load and stops."""
    n = count(seconds)
    on = band((wander(rng, n, 0.8, -0.3, 1) > 0).astype(np.float32), None, 6, 1)
    on = np.clip(on, 0, 1)
    speed = rng.uniform(250, 420) * (0.3 + 0.7 * on) * wander(rng, n, 3, 0.9, 1)
    motor = band(buzz(speed, n), 200, 6_000)
    gears = resonate(buzz(speed * 4.3, n) * (1 + 0.5 * noise(rng, n)), 2_600, 1_200)
    bit = band(noise(rng, n), 800, 9_000) * wander(rng, n, 8, 0.2, 0.6)
    return finished((motor + gears + bit) * on)


def vacuum_cleaner(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Rushing air and a motor's steady whine."""
    n = count(seconds)
    air = band(noise(rng, n, "pink"), 150, 9_000)
    pitch = rng.uniform(180, 320) * wander(rng, n, 0.6, 0.98, 1.02)
    motor = band(buzz(pitch, n), 150, 5_000)
    whine = resonate(buzz(pitch * 3, n), rng.uniform(1_200, 2_500), 300)
    return finished(air + rng.uniform(0.3, 0.7) * motor + rng.uniform(0.2, 0.5) * whine)


GENERATORS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    "hammering": hammering,
    "saw": saw,
    "drill": drill,
    "vacuum_cleaner": vacuum_cleaner,
}
