"""Impulses: gunshot, explosion, camera click."""

import numpy as np

from soundscapes.dsp import (
    band,
    burst,
    count,
    decay,
    finished,
    noise,
    place,
    resonate,
    rhythm,
    wander,
)


def gunshot(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """One shot or a few: a crack, a body and echoes from far walls."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    shots = [0.02, *np.sort(rng.uniform(0.3, max(seconds - 0.5, 0.4), rng.integers(4)))]
    for time in shots:
        crack = burst(rng, 0.06, 300, 14e3, 0.0004)
        body = burst(rng, rng.uniform(0.3, 0.6), 60, 1_800, 0.001)
        place(wave, crack, count(time), 1.5)
        place(wave, body, count(time))
        for echo in rng.uniform(0.08, 0.5, 4):
            place(wave, body, count(time + echo), 0.25 * np.exp(-3 * echo))
    return finished(wave)


def explosion(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A blast and a long low rumble in which debris falls."""
    n = count(seconds)
    rumble = band(noise(rng, n, "brown"), 30, rng.uniform(200, 400))
    wave = rumble * decay(n, rng.uniform(2, 4), 0.01) * wander(rng, n, 8, 0.6, 1)
    place(wave, burst(rng, rng.uniform(0.3, 0.8), 50, 5_000), 0, 1.2)
    for _ in range(rng.integers(5, 25)):
        start = count(0.3 + rng.exponential(0.7))
        place(wave, burst(rng, 0.06, 400, 5_000), start, rng.uniform(0.02, 0.1))
    return finished(wave)


def camera_click(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Shutters: the mirror goes up, the curtain runs, the mirror falls."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    body, gap = rng.uniform(2_000, 3_500), rng.uniform(0.04, 0.1)
    for time in rhythm(rng, seconds, rng.uniform(0.8, 2), 0.4):
        for part, gain in enumerate((1, 0.5, 0.8)):
            click = resonate(
                burst(rng, 0.025, 700, 12e3), body * (1 + 0.3 * part), 2_500
            )
            place(wave, click, count(time + part * gap), gain * rng.uniform(0.8, 1))
    return finished(wave + 2e-4 * noise(rng, len(wave)))
