"""At home: clock, typing, doors, glass, telephone, alarm, kettle and tools."""

import numpy as np

from soundscapes.dsp import (
    SR,
    band,
    burst,
    buzz,
    count,
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


def clock(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Tick and tock by turns, the second a little lower and softer."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    pitch, per_second = rng.uniform(2_000, 4_200), rng.choice([1, 2, 2.5, 4])
    for beat, time in enumerate(rhythm(rng, seconds, per_second)):
        second = beat % 2
        click = resonate(burst(rng, 0.03, 700), pitch * (1 - 0.15 * second), 600)
        place(wave, click, count(time), 1 - 0.2 * second)
    return finished(wave + 2e-4 * noise(rng, len(wave)))


def typing(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Keys go down and, more softly, up again; one of six is the space bar."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    case = rng.uniform(900, 1_800)
    pitches = case * np.append(rng.uniform(0.8, 1.2, 5), 0.5)  # the space bar's last
    keys = [resonate(burst(rng, 0.03, 200, 6_000), pitch, 500) for pitch in pitches]
    click = burst(rng, 0.006, 1_500, 12e3, 2e-4)
    for time in rhythm(rng, seconds, rng.uniform(6, 10), 0.6):
        place(wave, keys[rng.integers(6)], count(time), rng.uniform(0.3, 0.7))
        place(wave, click, count(time), rng.uniform(0.3, 0.8))
        place(wave, click, count(time + rng.uniform(0.05, 0.09)), rng.uniform(0.1, 0.3))
    return finished(wave + 5e-4 * noise(rng, len(wave)))


def door_knock(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Knuckles on wood, two to five times, and again."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    wood, now = rng.uniform(120, 280), 0.05
    while now < seconds - 0.2:
        gap = rng.uniform(0.16, 0.26)
        for _ in range(rng.integers(2, 6)):
            knock = burst(rng, 0.12, 60, 1_800)
            panel = resonate(knock, wood, 70) + 0.5 * resonate(knock, 2.6 * wood, 120)
            place(wave, panel, count(now), rng.uniform(0.7, 1))
            now += gap
        now += rng.uniform(0.8, 1.6)
    return finished(wave + 2e-4 * noise(rng, len(wave)))


def door_creak(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A hinge that sticks and slips, now slowly, now fast enough to sing."""
    n = count(seconds)
    rate = np.exp(wander(rng, n, 2.5, np.log(25), np.log(220)))  # slips a second
    slips = np.floor(np.cumsum(rate) / SR)
    wave = np.diff(slips, prepend=0).astype(np.float32) * wander(rng, n, 30, 0.4, 1)
    hinge, wood = rng.uniform(900, 1_500), rng.uniform(350, 600)
    rung = resonate(wave, hinge, 70) + resonate(wave, wood, 60)
    rung += 0.7 * resonate(wave, hinge * 2.3, 150)
    return finished(rung * np.maximum(0, wander(rng, n, 1.5, -0.3, 1)))


def glass_breaking(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A crash, then shards that ring and tinkle down."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    place(wave, burst(rng, 0.35, 1_500, 14e3), count(0.02), 1.2)
    for _ in range(rng.integers(50, 100)):
        ring = rng.uniform(0.04, 0.4)
        n = count(ring)
        shard = tone(rng.uniform(2_200, 9_500), n) * decay(n, ring)
        place(wave, shard, count(0.02 + rng.exponential(0.3)), rng.uniform(0.05, 0.4))
    for _ in range(rng.integers(15, 40)):
        start = count(0.1 + rng.exponential(0.4))
        place(wave, burst(rng, 0.03, 4_000), start, rng.uniform(0.05, 0.4))
    return finished(wave)


def phone_ringing(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A telephone's two gongs struck in turn, or a warble, with pauses."""
    n = count(seconds)
    period, share = rng.uniform(2.2, 3.2), rng.uniform(0.4, 0.6)
    turns = np.arange(n) / SR
    rings = (np.mod(turns / period, 1) < share).astype(np.float32)
    warble = np.sin(2 * np.pi * rng.uniform(18, 26) * turns) > 0
    pitch = rng.uniform(1_000, 1_500)
    if rng.random() < 0.5:
        partials = (1, 0.3, 0.4)
        gongs = (tone(pitch, n, partials), tone(pitch * 1.26, n, partials))
        wave = np.where(warble, *gongs) * (1 + 0.3 * tone(41, n))
    else:
        wave = tone(pitch * (1 + 0.25 * warble), n, (1, 0.5, 0.3))
    return finished(band(wave * rings, 500) + 2e-4 * noise(rng, n))


def alarm(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Beeps, evenly or in groups of three or four."""
    n = count(seconds)
    turns = np.arange(n) / SR * rng.uniform(2, 6)
    on = np.mod(turns, 1) < rng.uniform(0.4, 0.6)
    group = rng.integers(3, 5)
    if rng.random() < 0.5:
        on &= np.mod(turns, group + 2) < group
    beep = tone(rng.uniform(1_900, 3_300), n, (1, 0.25, 0.3, 0.1))
    return finished(beep * on + 2e-4 * noise(rng, n))


def kettle(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Steam that hisses and builds up to a whistle."""
    n = count(seconds)
    start = rng.uniform(0, 0.3)
    steam = curve(n, (0, 0.3), (start, 0.5), (min(1, start + 0.4), 1), (1, 1))
    pitch = rng.uniform(1_900, 3_000) * (0.85 + 0.15 * steam)
    whistle = tone(pitch * (1 + 0.003 * wander(rng, n, 30, -1, 1)), n, (1, 0.35, 0.15))
    hiss = band(noise(rng, n), 1_500)
    return finished(whistle * steam**3 + rng.uniform(0.1, 0.3) * hiss * steam)


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
