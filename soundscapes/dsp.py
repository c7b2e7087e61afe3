"""The few signal-processing pieces that every sound-event generator is made of.

All signals are mono float32 at SR; control signals (frequency, amplitude) have one
value a sample. Randomness comes from the generator given, never from a global state.
"""

from collections.abc import Sequence

import numpy as np
from scipy import signal

SR = 32_000  # Hz
COLOURS = {  # filters b, a; pink after Kellet, brown flat below 30 Hz
    "pink": (
        np.float32([0.049922035, -0.095993537, 0.050612699, -0.004408786]),
        np.float32([1, -2.494956002, 2.017265875, -0.522189400]),
    ),
    "brown": (np.float32([1]), np.float32([1, -0.994])),
}
FULL = 0.98 * SR / 2  # Hz; highest edge a filter is given


def count(seconds: float) -> int:
    """Return the number of samples in so many seconds, at least 1."""
    return max(1, round(seconds * SR))


def noise(rng: np.random.Generator, n: int, colour: str = "white") -> np.ndarray:
    """Return Gaussian noise (n,), unit RMS: white, pink (-3 dB an octave) or brown."""
    wave = rng.standard_normal(n, dtype=np.float32)
    if colour == "white":
        return wave
    shaped = signal.lfilter(*COLOURS[colour], wave)
    return (shaped / (shaped.std() + 1e-12)).astype(np.float32)


def band(
    wave: np.ndarray,
    low: float | None = None,
    high: float | None = None,
    order: int = 2,
) -> np.ndarray:
    """Keep what lies between `low` and `high` Hz (None: no edge), Butterworth."""
    if low is None and high is None:
        return wave
    if low is None:
        edges, kind = min(high, FULL), "lowpass"
    elif high is None or high >= FULL:
        edges, kind = low, "highpass"
    else:
        edges, kind = (low, high), "bandpass"
    sections = signal.butter(order, edges, kind, fs=SR, output="sos")
    return signal.sosfilt(sections.astype(np.float32), wave).astype(np.float32)


def resonate(wave: np.ndarray, hertz: float, bandwidth: float) -> np.ndarray:
    """Ring a two-pole resonator of that centre and bandwidth (Hz), unit peak gain."""
    b, a = signal.iirpeak(min(hertz, FULL), max(hertz / bandwidth, 0.3), fs=SR)
    return signal.lfilter(b, a, wave).astype(np.float32)


def decay(n: int, seconds: float, attack: float = 0.001) -> np.ndarray:
    """Return an envelope (n,): linear rise in `attack` s, then -60 dB in `seconds`."""
    t = np.arange(n, dtype=np.float32) / SR
    rise = np.minimum(t / max(attack, 1 / SR), 1)
    return rise * np.exp(-6.9 * np.maximum(t - attack, 0) / seconds)


def curve(n: int, *points: tuple[float, float]) -> np.ndarray:
    """Return a control signal (n,) through (place in [0, 1], value) points, linear."""
    places, values = zip(*points, strict=True)
    return np.interp(np.linspace(0, 1, n), places, values).astype(np.float32)


def wander(
    rng: np.random.Generator, n: int, rate: float, low: float, high: float
) -> np.ndarray:
    """Return a control signal (n,) that drifts in [low, high], about `rate` Hz."""
    knots = max(4, int(n / SR * rate) + 3)
    values = rng.uniform(low, high, knots)
    places = np.linspace(0, n - 1, knots)
    return np.interp(np.arange(n), places, values).astype(np.float32)


def tone(
    hertz: np.ndarray | float,
    n: int,
    partials: Sequence[float] = (1.0,),
    phase: float = 0.0,
) -> np.ndarray:
    """Return a harmonic tone (n,); `partials` are the amplitudes of 1f, 2f, 3f ...

    hertz : the fundamental, constant or (n,); partials above Nyquist are left out
    """
    hertz = np.broadcast_to(np.asarray(hertz, dtype=np.float64), (n,))
    turns = phase / (2 * np.pi) + np.cumsum(hertz) / SR
    highest = float(hertz.max())
    wave = np.zeros(n, dtype=np.float32)
    for number, amplitude in enumerate(partials, 1):
        if amplitude and number * highest < SR / 2:
            angle = (2 * np.pi) * ((number * turns) % 1).astype(np.float32)
            wave += np.float32(amplitude) * np.sin(angle)
    return wave


def buzz(hertz: np.ndarray | float, n: int) -> np.ndarray:
    """Return a sawtooth (n,), the raw sound of vocal folds, motors and wings.

    hertz : the fundamental, constant or (n,)
    """
    turns = np.cumsum(np.broadcast_to(np.asarray(hertz, np.float64), (n,))) / SR
    return (1 - 2 * (turns % 1)).astype(np.float32)


def formants(wave: np.ndarray, *peaks: tuple[float, float, float]) -> np.ndarray:
    """Sum resonances of a wave, each (Hz, bandwidth in Hz, gain): a voice's vowel."""
    return sum(gain * resonate(wave, hertz, width) for hertz, width, gain in peaks)


def crackle(rng: np.random.Generator, n: int, rate: float, spread: float) -> np.ndarray:
    """Return single samples at random, `rate` a second, of log-normal size (n,)."""
    wave = np.zeros(n, dtype=np.float32)
    many = rng.poisson(rate * n / SR)
    sizes = rng.lognormal(0, spread, many) * rng.choice([-1, 1], many)
    np.add.at(wave, rng.integers(n, size=many), sizes.astype(np.float32))
    return wave


def burst(
    rng: np.random.Generator,
    seconds: float,
    low: float | None = None,
    high: float | None = None,
    attack: float = 0.001,
) -> np.ndarray:
    """Return a short noise between `low` and `high` Hz that dies away."""
    n = count(seconds)
    return band(noise(rng, n), low, high) * decay(n, seconds, attack)


def hump(n: int, sharpness: float = 1.0) -> np.ndarray:
    """Return a swelling and fading envelope (n,), a Hann window to a power."""
    return (np.hanning(n + 2)[1:-1] ** sharpness).astype(np.float32)


def rhythm(
    rng: np.random.Generator, seconds: float, rate: float, jitter: float = 0.0
) -> list[float]:
    """Return the times (s) of about `rate` strokes a second, one at least."""
    times, now = [], float(rng.uniform(0.01, 0.06))
    while now < seconds - 0.05 or not times:
        times.append(now)
        now += float(rng.uniform(1 - jitter, 1 + jitter)) / rate
    return times


def finished(wave: np.ndarray) -> np.ndarray:
    """Return a generator's result: no offset, soft ends, peak 1, float32."""
    return peak(fade(wave - wave.mean())).astype(np.float32)


def place(target: np.ndarray, sound: np.ndarray, start: int, gain: float = 1.0) -> None:
    """Add `sound` to `target` from sample `start` on; what overhangs is cut."""
    begin = max(start, 0)
    end = min(start + len(sound), len(target))
    if end > begin:
        target[begin:end] += gain * sound[begin - start : end - start]


def fade(wave: np.ndarray, seconds: float = 0.01) -> np.ndarray:
    """Fade both ends in and out, against clicks."""
    n = min(count(seconds), len(wave) // 2)
    if n:
        ramp = np.linspace(0, 1, n, dtype=np.float32)
        wave = wave.copy()
        wave[:n] *= ramp
        wave[-n:] *= ramp[::-1]
    return wave


def peak(wave: np.ndarray, level: float = 1.0) -> np.ndarray:
    """Scale to a peak of `level`; silence stays silent."""
    largest = float(np.abs(wave).max(initial=0))
    return wave if largest == 0 else (wave * (level / largest)).astype(np.float32)
