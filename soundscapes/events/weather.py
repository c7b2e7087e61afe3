"""Weather and water: rain, wind, thunder, stream, sea waves, dripping, fire."""

import numpy as np

from soundscapes.dsp import (
    SR,
    band,
    burst,
    count,
    crackle,
    curve,
    decay,
    finished,
    noise,
    place,
    resonate,
    rhythm,
    tone,
    wander,
)


def rain(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A wash of far drops under near ones that hit hard ground."""
    n = count(seconds)
    far = band(noise(rng, n), rng.uniform(400, 1_200), rng.uniform(9e3, 15e3))
    drops = crackle(rng, n, rng.uniform(60, 250), 0.8)
    near = resonate(drops, rng.uniform(2e3, 5e3), 2_500) * rng.uniform(3, 12)
    return finished(far * wander(rng, n, 0.5, 0.7, 1) + near)


def wind(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Low gusts, and a howl whose pitch rises with their strength."""
    n = count(seconds)
    gusts = wander(rng, n, rng.uniform(0.5, 1.2), 0.15, 1.0)
    body = band(noise(rng, n, "pink"), 120, rng.uniform(500, 1_000)) * gusts
    air = noise(rng, n)
    pitch = rng.uniform(350, 700)
    howl = (
        resonate(air, pitch, 60) * (1 - gusts) + resonate(air, pitch * 1.4, 90) * gusts
    )
    return finished(body + rng.uniform(0.4, 1.2) * howl * gusts**2)


def thunder(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A crack, if it is near, and rolls that die away."""
    n = count(seconds)
    wave = np.zeros(n, dtype=np.float32)
    place(wave, burst(rng, 0.4, 150, 4_000, 0.004), count(0.02), rng.uniform(0.1, 0.8))
    rumble = band(noise(rng, n, "brown"), 30, rng.uniform(160, 400))
    for start in (0.0, *rng.uniform(0.1, 0.6, rng.integers(2, 5)) * seconds):
        left = n - count(start)
        rolls = decay(left, max(seconds - start, 1), rng.uniform(0.02, 0.3))
        gain = rng.uniform(1, 2.5)
        place(wave, rumble[:left] * rolls, count(start), gain)
    return finished(wave * wander(rng, n, 6, 0.5, 1))


def stream(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Bubbles, each a short tone that rises, over flowing water."""
    n = count(seconds)
    wave = band(noise(rng, n), 300, rng.uniform(4e3, 8e3)) * wander(rng, n, 4, 0.2, 0.5)
    for _ in range(int(seconds * rng.uniform(20, 45))):
        length = count(rng.uniform(0.02, 0.08))
        pitch = rng.lognormal(np.log(800), 0.4)
        rise = curve(length, (0, pitch), (1, pitch * rng.uniform(1.05, 1.5)))
        bubble = tone(rise, length) * decay(length, length / SR, 0.004)
        place(wave, bubble, rng.integers(n), rng.uniform(0.1, 0.7))
    return finished(wave)


def sea_waves(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Slow swells; the wash at the shore is brighter than the swell itself."""
    n = count(seconds)
    turns = np.arange(n) / SR / rng.uniform(4, 8) + rng.uniform()
    swell = (0.12 + np.maximum(0, np.sin(2 * np.pi * turns)) ** 2).astype(np.float32)
    body = band(noise(rng, n, "pink"), 80, 1_500) * swell
    wash = band(noise(rng, n), 1_200, 9_000) * swell**2
    return finished(body + rng.uniform(0.1, 0.4) * wash)


def dripping(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Drops into water: a click, then a bubble whose pitch rises."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    base = rng.uniform(600, 1_500)
    for time in rhythm(rng, seconds, rng.uniform(1, 3.5), 0.4):
        length = count(rng.uniform(0.05, 0.1))
        pitch = base * rng.uniform(0.8, 1.3)
        rise = curve(length, (0, pitch), (0.3, pitch), (1, pitch * 1.8))
        drop = tone(rise, length, (1, 0.2)) * decay(length, length / SR)
        place(wave, drop, count(time), rng.uniform(0.5, 1))
        place(wave, burst(rng, 0.01, 2_000), count(time), 0.15)
    return finished(wave + 0.002 * noise(rng, len(wave)))


def fire(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A soft roar, a hiss and crackles of all sizes."""
    n = count(seconds)
    roar = band(noise(rng, n, "brown"), 40, 400) * wander(rng, n, 4, 0.3, 1)
    hiss = band(noise(rng, n), 3_000) * wander(rng, n, 2, 0.02, 0.08)
    wave = 0.4 * roar + hiss
    snaps = [burst(rng, rng.uniform(0.003, 0.02), 800, 9_000) for _ in range(8)]
    for start in rng.integers(n, size=int(seconds * rng.uniform(10, 30))):
        place(wave, snaps[rng.integers(8)], start, rng.lognormal(0, 1))
    return finished(wave)
