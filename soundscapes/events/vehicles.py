"""Vehicles: engines are pulses through resonances; what passes shifts its pitch."""

import numpy as np

from soundscapes.dsp import (
    SR,
    band,
    burst,
    buzz,
    count,
    curve,
    fade,
    finished,
    formants,
    noise,
    place,
    resonate,
    rhythm,
    tone,
    wander,
)

SPEED_OF_SOUND = 343.0  # m/s


def _firing(
    rng: np.random.Generator, rate: np.ndarray, resonances: tuple, rough: float
) -> np.ndarray:
    """Return an engine that fires `rate` times a second (n,), through its exhaust."""
    n = len(rate)
    pulses = np.maximum(0, buzz(rate, n)) ** 4
    uneven = 1 + rough * band(noise(rng, n), None, 40)
    gas = 0.15 + noise(rng, n, "pink")  # each firing is a puff of gas
    return formants(pulses * uneven * gas, *resonances)


def car_passing(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Tyre and engine noise that swells, passes and falls in pitch (Doppler)."""
    n = count(seconds)
    speed, nearest = rng.uniform(10, 25), rng.uniform(4, 9)  # m/s, m
    along = speed * (np.arange(n) / SR - seconds * rng.uniform(0.4, 0.6))
    distance = np.hypot(nearest, along)  # m
    shift = 1 / (1 + speed * along / distance / SPEED_OF_SOUND)
    loudness = (nearest / distance).astype(np.float32)
    tyres = resonate(noise(rng, n, "pink"), rng.uniform(700, 1_000), 900)
    rumble = band(noise(rng, n, "brown"), 50, 300) * 0.5
    engine = band(buzz(rng.uniform(70, 120) * shift, n), 60, 1_200)
    return finished((2 * tyres + rumble + 0.5 * engine) * loudness**1.5)


def engine_idling(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A few cylinders at low revolutions, a little uneven, with a rattle."""
    n = count(seconds)
    rate = rng.uniform(20, 34) * wander(rng, n, 2, 0.97, 1.03)
    exhaust = ((90, 60, 1), (220, 120, 0.8), (600, 400, 0.5), (1_500, 1_200, 0.3))
    rattle = band(noise(rng, n), 1_000, 5_000) * np.maximum(0, buzz(rate, n)) ** 6
    return finished(_firing(rng, rate, exhaust, 0.5) + rng.uniform(0.02, 0.08) * rattle)


def motorcycle(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """One or two cylinders that rev up and down."""
    n = count(seconds)
    rate = rng.uniform(45, 75) * wander(rng, n, 0.7, 0.7, 2.4)
    exhaust = ((150, 100, 1), (420, 200, 0.9), (1_100, 600, 0.6), (2_600, 1_500, 0.3))
    return finished(_firing(rng, rate, exhaust, 0.6) * (0.4 + 0.3 * rate / rate.mean()))


def train(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Rumbling wheels, pairs of clacks at the rail joints, at times a horn."""
    n = count(seconds)
    wave = band(noise(rng, n, "pink"), 60, 1_500) * wander(rng, n, 1, 0.7, 1)
    joints = rng.uniform(0.9, 1.7)
    for time in rhythm(rng, seconds, joints, 0.02):
        for after in (0, rng.uniform(0.11, 0.15)):
            clack = resonate(burst(rng, 0.09, 100, 3_000), 420, 500)
            place(wave, clack, count(time + after), rng.uniform(6, 12))
    if rng.random() < 0.6:
        length, root = count(min(2.2, 0.5 * seconds)), rng.uniform(260, 340)
        chord = sum(band(buzz(root * q, length), 200, 3_000) for q in (1, 1.2, 1.5))
        start = count(rng.uniform(0, 0.4) * seconds)
        place(wave, fade(chord, 0.1), start, rng.uniform(0.6, 1.4))
    return finished(wave)


def helicopter(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Blades that beat the air ten to twenty times a second, over a turbine."""
    n = count(seconds)
    beat = np.maximum(0, buzz(rng.uniform(10, 20), n)) ** 3
    blades = band(noise(rng, n, "pink"), 40, 1_800) * beat
    turbine = band(noise(rng, n), 300, 4_000) * 0.12
    whine = 0.03 * tone(rng.uniform(900, 1_800), n, (1, 0.4))
    return finished((blades + turbine + whine) * wander(rng, n, 0.4, 0.6, 1))


def siren(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A wail, a yelp or two tones in turn."""
    n = count(seconds)
    turns = np.arange(n) / SR
    low, high = rng.uniform(450, 700), rng.uniform(1_100, 1_600)
    kind = rng.integers(3)
    if kind == 2:
        sweep = (np.sin(2 * np.pi * rng.uniform(0.5, 1) * turns) > 0).astype(float)
        low, high = 435.0, 580.0
    else:
        rate = rng.uniform(0.2, 0.4) if kind == 0 else rng.uniform(2.5, 4)
        sweep = 0.5 - 0.5 * np.cos(2 * np.pi * rate * turns)
    call = tone(low + (high - low) * sweep, n, (1, 0.6, 0.5, 0.3, 0.25, 0.15))
    return finished(call + 0.01 * noise(rng, n, "pink"))


def horn(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Two reeds, a third apart, in short and long honks."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    pitch = rng.uniform(330, 430)
    for time in rhythm(rng, seconds, rng.uniform(0.7, 1.3), 0.4):
        n = count(rng.uniform(0.25, 0.7))
        reeds = buzz(pitch, n) + buzz(pitch * rng.uniform(1.24, 1.27), n)
        honk = formants(reeds, (700, 400, 1), (1_800, 600, 1), (2_900, 900, 0.6))
        place(wave, fade(honk, 0.015), count(time))
    return finished(wave + 0.002 * noise(rng, len(wave), "pink"))


def aeroplane(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A jet that passes high above: a roar whose colour and whine sink."""
    n = count(seconds)
    top = rng.uniform(0.35, 0.65)
    loudness = curve(n, (0, rng.uniform(0.2, 0.5)), (top, 1), (1, 0.3))
    roar = band(noise(rng, n, "brown"), 50, 600) + 0.3 * band(
        noise(rng, n, "pink"), 300, 2_500
    )
    pitch = rng.uniform(1_800, 2_800) * curve(n, (0, 1.1), (top, 1), (1, 0.85))
    whine = tone(pitch, n) * (1 + 0.3 * band(noise(rng, n), None, 30))
    hum = band(buzz(rng.uniform(80, 140) * curve(n, (0, 1.1), (1, 0.9)), n), 60, 900)
    return finished((roar + rng.uniform(0.3, 0.8) * hum + 0.06 * whine) * loudness)
