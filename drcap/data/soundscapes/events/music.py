"""Music: a plucked string, a piano, a drum and a bell."""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import signal

from drcap.data.soundscapes.dsp import (
    SR,
    burst,
    count,
    curve,
    decay,
    finished,
    noise,
    place,
    rhythm,
    tone,
)

SCALE = (0, 2, 4, 7, 9, 12)  # semitones, a pentatonic scale
BELL = (  # partial, strength, seconds to -60 dB: hum, prime, tierce, quint, nominal ...
    (0.5, 0.4, 6.0),
    (1.0, 1.0, 4.5),
    (1.19, 0.6, 3.5),
    (1.5, 0.4, 3.0),
    (2.0, 0.8, 2.5),
    (2.74, 0.5, 1.6),
    (4.07, 0.3, 1.0),
)


def _melody(
    rng: np.random.Generator,
    seconds: float,
    rate: float,
    root: float,
    note: Callable[[float], np.ndarray],
) -> np.ndarray:
    """Play notes of a scale on `root` Hz, about `rate` a second."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    sound = cache(lambda semitones: note(root * 2 ** (semitones / 12)))
    for time in rhythm(rng, seconds, rate, 0.1):
        place(wave, sound(rng.choice(SCALE)), count(time), rng.uniform(0.6, 1))
    return finished(wave)


def plucked_string(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Karplus and Strong's string: a burst that goes round a softening loop."""
    damping = rng.uniform(0.990, 0.997)

    def pluck(pitch: float) -> np.ndarray:
        period = round(SR / pitch - 0.5)
        loop = np.zeros(period + 2, dtype=np.float32)
        loop[0], loop[period:] = 1, -damping / 2
        wave = np.zeros(count(1.2), dtype=np.float32)
        wave[:period] = rng.uniform(-1, 1, period)
        return signal.lfilter(np.float32([1]), loop, wave)

    rate, root = rng.uniform(2, 4), rng.uniform(110, 240)
    return _melody(rng, seconds, rate, root, pluck)


def piano(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Stiff strings, whose partials are a little too high, and a knock."""

    def key(pitch: float) -> np.ndarray:
        n = count(1.1)
        wave = np.zeros(n, dtype=np.float32)
        for k in range(1, 8):
            stretched = pitch * k * np.sqrt(1 + 4e-4 * k**2)
            wave += tone(stretched, n) * decay(n, 3.5 / k**0.7, 0.003) * 0.65**k
        place(wave, burst(rng, 0.03, 100, 1_200), 0, 0.05)
        return wave

    rate, root = rng.uniform(1.8, 3.2), rng.uniform(200, 330)
    return _melody(rng, seconds, rate, root, key)


def drum(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A beat of bass drum, snare and hi-hat."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    tuning = rng.uniform(50, 80)
    for beat, time in enumerate(rhythm(rng, seconds, rng.uniform(3.5, 5.5))):
        n = count(0.3)
        skin = tone(tuning * curve(n, (0, 3), (0.15, 1.1), (1, 1)), n) * decay(n, 0.35)
        snare = burst(rng, 0.18, 300, 9_000)
        place(wave, burst(rng, 0.05, 6_000), count(time), rng.uniform(0.1, 0.25))
        if beat % 4 == 2:
            place(wave, snare, count(time), 0.5)
        elif beat % 4 == 0 or rng.random() < 0.2:
            place(wave, skin, count(time))
    return finished(wave)


def bell(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A church bell's partials, struck again and again."""
    pitch = rng.uniform(350, 800)
    n = count(min(3.0, seconds))
    toll = sum(
        gain * tone(pitch * ratio, n) * decay(n, ring, 0.002)
        for ratio, gain, ring in BELL
    )
    wave = np.zeros(count(seconds), dtype=np.float32)
    for time in rhythm(rng, seconds, rng.uniform(0.5, 1.2), 0.05):
        place(wave, toll, count(time), rng.uniform(0.7, 1))
        place(wave, burst(rng, 0.02, 2_000), count(time), 0.2)
    return finished(wave + 2e-4 * noise(rng, len(wave)))


GENERATORS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    "plucked_string": plucked_string,
    "piano": piano,
    "drum": drum,
    "bell": bell,
}
