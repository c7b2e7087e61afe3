"""People: footsteps, applause, voices, whistling, and the instruments they play.

A voice is a buzz at the pitch of vocal folds through the resonances of vowels;
syllables switch from vowel to vowel.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy import signal

from soundscapes.dsp import (
    SR,
    band,
    burst,
    buzz,
    count,
    curve,
    decay,
    finished,
    formants,
    hump,
    noise,
    place,
    resonate,
    rhythm,
    tone,
    wander,
)

VOWELS = (  # Hz of the first three formants: a, e, i, o, u
    (730, 1_090, 2_440),
    (530, 1_840, 2_480),
    (270, 2_290, 3_010),
    (570, 840, 2_410),
    (300, 870, 2_240),
)
MEN, WOMEN = (90.0, 140.0), (175.0, 245.0)  # Hz
SCALE = (0, 2, 4, 7, 9, 12)  # semitones, a pentatonic scale
BELL = (  # partial, strength, seconds to -60 dB: hum, prime, tierce, quint, nominal ...
    *((0.5, 0.4, 6.0), (1.0, 1.0, 4.5), (1.19, 0.6, 3.5), (1.5, 0.4, 3.0)),
    *((2.0, 0.8, 2.5), (2.74, 0.5, 1.6), (4.07, 0.3, 1.0)),
)


def _talk(rng: np.random.Generator, seconds: float, pitch: float) -> np.ndarray:
    """Return one voice that speaks in syllables, words and phrases, (n,)."""
    n = count(seconds)
    gates = np.zeros((len(VOWELS), n), dtype=np.float32)
    hiss = np.zeros(n, dtype=np.float32)
    melody = pitch * wander(rng, n, 1.5, 0.85, 1.25)
    throat = 1.15 if pitch > MEN[1] else 1.0
    for time in rhythm(rng, seconds, rng.uniform(3.8, 5.2), 0.3):
        if rng.random() < 0.14:  # between words
            continue
        syllable = hump(count(rng.uniform(0.12, 0.24)), 0.6)
        gate = gates[rng.integers(len(VOWELS))]
        place(gate, syllable, count(time), rng.uniform(0.5, 1))
        if rng.random() < 0.4:  # a consonant
            start = count(time) - count(0.05)
            place(
                hiss, hump(count(rng.uniform(0.04, 0.09))), start, rng.uniform(0.1, 0.4)
            )
    folds = band(buzz(melody, n), None, 2_000, 1) + 0.1 * noise(rng, n)
    voice = 0.12 * band(noise(rng, n), 3_500, 9_000) * hiss
    for gate, (first, second, third) in zip(gates, VOWELS, strict=True):
        peaks = ((first, 80, 1), (second, 110, 0.6), (third, 160, 0.3))
        peaks = [(hertz * throat, width, gain) for hertz, width, gain in peaks]
        voice += formants(folds * gate, *peaks)
    return voice


def footsteps(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Heel and toe, step after step, on a floor of one kind."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    floor, grit = rng.uniform(130, 420), rng.uniform(0.1, 0.5)
    for time in rhythm(rng, seconds, rng.uniform(1.5, 2.2), 0.05):
        heel = resonate(burst(rng, 0.08, 60, 4_000), floor, 250)
        sole = burst(rng, 0.1, 1_000, 7_000, 0.02)
        place(wave, heel, count(time), rng.uniform(0.7, 1))
        place(wave, heel, count(time + rng.uniform(0.07, 0.1)), rng.uniform(0.2, 0.4))
        place(wave, sole, count(time + 0.02), grit * rng.uniform(0.3, 0.6))
    return finished(wave + 4e-4 * noise(rng, len(wave), "pink"))


def applause(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Many hands, each pair with a hollow of its own, that clap at random."""
    n = count(seconds)
    wave = np.zeros(n, dtype=np.float32)
    edges = rng.uniform((500, 2_500), (1_500, 7_000), (16, 2))
    hands = [burst(rng, rng.uniform(0.01, 0.03), *edge, 5e-4) for edge in edges]
    for start in rng.integers(n, size=int(seconds * rng.uniform(80, 250))):
        place(wave, hands[rng.integers(16)], start, rng.lognormal(0, 0.6))
    return finished(wave * wander(rng, n, 1, 0.7, 1))


def crowd(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Many voices at once, of which none can be told from the others."""
    n = count(seconds)
    wave = np.zeros(n, dtype=np.float32)
    for pitch in (rng.uniform(*MEN), rng.uniform(*WOMEN)):
        voice = _talk(rng, seconds, pitch)
        for shift in rng.integers(n, size=6):  # the same voice as someone else's
            faster = np.arange(n) * rng.uniform(0.8, 1.25) + shift
            wave += voice[faster.astype(int) % n] * np.float32(rng.uniform(0.4, 1))
    murmur = band(noise(rng, n, "pink"), 200, 2_500) * wander(rng, n, 3, 0.6, 1)
    return finished(wave / wave.std() + 0.6 * murmur)


def whistling(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A tune of nearly pure tones with breath and a little vibrato."""
    n = count(seconds)
    wave = np.zeros(n, dtype=np.float32)
    pitch = rng.uniform(900, 1_500)
    for time in rhythm(rng, seconds, rng.uniform(1.5, 3), 0.3):
        length = count(rng.uniform(0.25, 0.6))
        note = pitch * 2 ** (rng.choice([-5, -3, 0, 2, 4, 5, 7, 9]) / 12)
        vibrato = 1 + 0.008 * np.sin(2 * np.pi * 6 * np.arange(length) / SR)
        glide = curve(length, (0, 0.94), (0.15, 1), (1, 1))
        whistle = tone(note * vibrato * glide, length, (1, 0.03))
        whistle = whistle + 0.3 * resonate(noise(rng, length), note, 300)
        place(wave, whistle * hump(length, 0.5), count(time), rng.uniform(0.6, 1))
    return finished(wave)


def laughter(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Bouts of ha-ha-ha: five breaths a second, falling in pitch and strength."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    pitch = rng.uniform(*(MEN if rng.random() < 0.5 else WOMEN)) * 1.5
    for time in rhythm(rng, seconds, 0.55, 0.2):
        for number in range(rng.integers(5, 10)):
            n = count(rng.uniform(0.1, 0.14))
            fall = curve(n, (0, 1.15), (1, 0.9)) * (1 - 0.03 * number)
            breath = buzz(pitch * fall, n) + 0.5 * noise(rng, n)
            peaks = ((750, 110, 1), (1_350, 140, 0.7), (2_700, 220, 0.3))
            laugh = formants(breath, *peaks) * hump(n)
            place(wave, laugh, count(time + 0.2 * number), 0.9**number)
    return finished(wave)


def speech(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Babble of one voice, or of two in turn."""
    first = _talk(rng, seconds, rng.uniform(*(MEN if rng.random() < 0.5 else WOMEN)))
    if seconds < 3 or rng.random() < 0.6:
        return finished(first)
    second = _talk(rng, seconds, rng.uniform(*(MEN if rng.random() < 0.5 else WOMEN)))
    turn = np.clip(0.5 + 20 * wander(rng, len(first), 0.6, -1, 1), 0, 1)
    return finished(first * turn + second * (1 - turn))


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
