"""Animals: their calls are a buzz through the resonances of a throat, or a chirp."""

from collections.abc import Callable

import numpy as np

from soundscapes.dsp import (
    SR,
    band,
    burst,
    buzz,
    count,
    curve,
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


def _calls(
    rng: np.random.Generator,
    seconds: float,
    rate: float,
    call: Callable[[], np.ndarray],
    jitter: float = 0.3,
) -> np.ndarray:
    """Repeat a call, drawn anew each time, about `rate` times a second."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    for time in rhythm(rng, seconds, rate, jitter):
        sound = call()
        place(wave, sound / np.abs(sound).max(), count(time), rng.uniform(0.6, 1))
    return finished(wave)


def dog(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Barks: a rough voice that jumps up and falls within a fifth of a second."""
    pitch, throat = rng.uniform(250, 550), rng.uniform(0.85, 1.2)
    length = rng.uniform(0.14, 0.26)

    def bark() -> np.ndarray:
        n = count(length * rng.uniform(0.9, 1.1))
        voice = buzz(curve(n, (0, pitch), (0.25, pitch * 1.5), (1, pitch * 0.7)), n)
        voice = voice * (1 + band(noise(rng, n), None, 200)) + 0.4 * noise(rng, n)
        vowel = ((750, 250, 1), (1_500, 350, 0.8), (2_700, 500, 0.4))
        vowel = [(hertz * throat, width, gain) for hertz, width, gain in vowel]
        return formants(voice, *vowel) * curve(n, (0, 0), (0.12, 1), (0.5, 0.7), (1, 0))

    return _calls(rng, seconds, rng.uniform(1.2, 2.8), bark)


def cat(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Meows: the mouth opens and closes while the pitch rises and falls."""
    pitch = rng.uniform(420, 650)

    def meow() -> np.ndarray:
        n = count(rng.uniform(0.6, 1.1))
        rise = curve(n, (0, pitch), (0.35, pitch * 1.35), (1, pitch * 0.85))
        voice = buzz(rise * (1 + 0.01 * wander(rng, n, 25, -1, 1)), n)
        voice = voice + 0.08 * noise(rng, n)
        closed = formants(voice, (600, 150, 1), (1_800, 250, 0.5), (3_300, 400, 0.3))
        opened = formants(voice, (1_100, 200, 1), (2_000, 300, 1), (3_600, 500, 0.7))
        mouth = hump(n)
        return (closed * (1 - mouth) + opened * mouth) * hump(n, 0.6)

    return _calls(rng, seconds, rng.uniform(0.5, 0.8), meow)


def rooster(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Crows of four syllables, the third the highest and the last long and falling."""
    pitch = rng.uniform(420, 620)

    def crow_once() -> np.ndarray:
        n = count(rng.uniform(1.6, 2.3))
        melody = curve(
            n, (0, 0.9), (0.13, 1.1), (0.17, 1.0), (0.3, 1.5), (0.36, 1.3),
            (0.5, 1.75), (0.85, 1.5), (1, 1.0),
        )  # fmt: skip
        loudness = curve(
            n, (0, 0), (0.03, 0.8), (0.12, 0.6), (0.15, 0.05), (0.19, 0.9),
            (0.31, 0.8), (0.34, 0.1), (0.4, 1), (0.85, 0.8), (1, 0),
        )  # fmt: skip
        rough = 1 + 0.015 * wander(rng, n, 60, -1, 1)
        voice = buzz(pitch * melody * rough, n) + 0.15 * noise(rng, n)
        throat = ((900, 350, 1), (1_900, 500, 1), (3_100, 600, 0.7), (4_300, 800, 0.3))
        return formants(voice, *throat) * loudness

    return _calls(rng, seconds, rng.uniform(0.28, 0.4), crow_once)


def bird_song(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Phrases of chirps; a motif is sung again with small changes."""
    pitch = rng.uniform(2_500, 4_500)
    notes = rng.integers(2, 6)
    motif = rng.uniform((0.04, 0.8, 0.7), (0.14, 1.4, 1.4), (notes, 3))

    def phrase() -> np.ndarray:
        wave = np.zeros(count(0.2 * len(motif) + 0.1), dtype=np.float32)
        now = 0.0
        for length, height, bend in motif:
            n, start = count(length), pitch * height * rng.uniform(0.97, 1.03)
            chirp = tone(curve(n, (0, start), (0.5, start * bend), (1, start)), n)
            place(wave, chirp * hump(n), count(now), rng.uniform(0.5, 1))
            now += length + rng.uniform(0.02, 0.06)
        return wave

    return _calls(rng, seconds, rng.uniform(1.0, 2.0), phrase)


def crow(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Caws: a harsh voice, more noise than pitch."""
    pitch = rng.uniform(300, 480)

    def caw() -> np.ndarray:
        n = count(rng.uniform(0.28, 0.45))
        fall = curve(n, (0, pitch), (0.2, pitch * 1.15), (1, pitch * 0.85))
        voice = buzz(fall * (1 + 0.12 * band(noise(rng, n), None, 300)), n)
        voice = voice + 0.3 * noise(rng, n)
        throat = ((1_100, 250, 1), (1_550, 300, 1), (2_600, 600, 0.5))
        return formants(voice, *throat) * curve(n, (0, 0), (0.1, 1), (0.7, 0.8), (1, 0))

    return _calls(rng, seconds, rng.uniform(1.0, 1.8), caw, 0.15)


def owl(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Hoots in the tawny owl's rhythm: one long, a pause, short ones and one long."""
    pitch = rng.uniform(330, 480)

    def hoots() -> np.ndarray:
        wave = np.zeros(count(2.0), dtype=np.float32)
        for start, length in ((0, 0.35), (0.6, 0.12), (0.78, 0.12), (0.98, 0.7)):
            n = count(length)
            bend = curve(n, (0, pitch * 0.94), (0.3, pitch), (1, pitch * 0.92))
            hoot = tone(bend, n, (1, 0.12, 0.05)) + 0.04 * band(noise(rng, n), 200, 900)
            place(wave, hoot * hump(n, 0.7), count(start))
        return wave

    return _calls(rng, seconds, rng.uniform(0.3, 0.45), hoots, 0.1)


def cricket(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Chirps of a few pulses each, all at one high pitch."""
    n = count(seconds)
    seconds_at = np.arange(n) / SR
    pulses = np.maximum(0, np.sin(2 * np.pi * rng.uniform(25, 45) * seconds_at))
    chirps = np.sin(2 * np.pi * rng.uniform(1.5, 4) * seconds_at + rng.uniform(0, 6))
    envelope = (pulses * (chirps > rng.uniform(-0.4, 0.3))).astype(np.float32)
    call = tone(rng.uniform(3_800, 5_200), n, (1, 0.1)) * envelope
    return finished(call + 0.01 * band(noise(rng, n), 1_000))


def frog(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Croaks: a trill of pulses, each of which rings in the vocal sac."""
    rate, pitch = rng.uniform(28, 55), rng.uniform(500, 1_100)

    def croak() -> np.ndarray:
        n = count(rng.uniform(0.25, 0.5))
        pulses = buzz(curve(n, (0, rate * 0.8), (1, rate * 1.2)), n)
        clicks = np.maximum(0, np.diff(pulses, prepend=pulses[:1])).astype(np.float32)
        sac = ((pitch, 120, 1), (pitch * 2.2, 250, 0.8), (pitch * 3.9, 500, 0.4))
        return formants(clicks + 0.01 * noise(rng, n), *sac) * hump(n, 0.4)

    return _calls(rng, seconds, rng.uniform(1.0, 2.0), croak)


def horse_gallop(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Three beats and a pause; each hoof knocks on ground of its own hardness."""
    wave = np.zeros(count(seconds), dtype=np.float32)
    ground, stride = rng.uniform(500, 1_300), rng.uniform(0.42, 0.6)
    for time in rhythm(rng, seconds, 1 / stride, 0.03):
        for beat in (0, 0.27, 0.5):
            hoof = resonate(
                burst(rng, 0.05, 200, 5e3), ground * rng.uniform(0.85, 1.2), 300
            )
            start = count(time + beat * stride * rng.uniform(0.95, 1.05))
            place(wave, hoof, start, rng.uniform(0.6, 1))
            place(wave, burst(rng, 0.06, 60, 250), start, 0.2)
    return finished(wave)


def bee(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """A wing beat of some 220 Hz that drifts, as the bee comes and goes."""
    n = count(seconds)
    beat = rng.uniform(180, 260) * wander(rng, n, 4, 0.94, 1.06)
    wings = buzz(beat, n) + 0.6 * buzz(1.03 * beat, n) + 0.1 * noise(rng, n)
    wings = band(wings * (1 + 0.4 * band(noise(rng, n), None, 80)), 200, 6_000)
    return finished(wings * wander(rng, n, 1.5, 0.15, 1))
