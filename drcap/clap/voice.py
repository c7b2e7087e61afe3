"""Whether the speaker of a recording is a man or a woman, by pitch; unsure is neither.

AudioSet as YAMNet has it knows no sex, but captions do. Pitch is the first high peak of
the autocorrelation, where speech leads. Nothing is claimed of anyone's identity.
"""

import re
from collections.abc import Sequence

import numpy as np

from drcap.clap.yamnet import SR

SPEECH = "Speech"
# what is speech as well, or says only where it is
ALONGSIDE = re.compile(
    "Speech|Child speech|Conversation|Narration|Babbling|Inside|Outside"
)
WINDOW, HOP = 1_024, 320  # samples
LOWEST, HIGHEST = 70, 400  # Hz
MEN, WOMEN = (75, 165), (165, 300)  # Hz
LEAST_FRAMES = 20
# fmt: off
WORDS = (
    {"man", "men", "male", "males", "guy", "gentleman", "he", "his", "father"},
    {"woman", "women", "female", "females", "lady", "she", "her", "mother"},
)
# fmt: on


def sexes_named(captions: Sequence[str]) -> np.ndarray:
    """Return whether N captions name a man and a woman: (N, 2) of 0 and 1, float32."""
    words = [set(re.findall("[a-z]+", caption.lower())) for caption in captions]
    named = [[not own.isdisjoint(text) for own in WORDS] for text in words]
    return np.array(named, np.float32).reshape(-1, 2)


def speakers(
    waveform: np.ndarray, over_time: np.ndarray, class_names: Sequence[str]
) -> np.ndarray:
    """Return whether a man and whether a woman speaks: (2,) of 0 and 1, float32.

    waveform : (n,) at 16 kHz      over_time : its tags, (P, classes)
    """
    speech = over_time[:, list(class_names).index(SPEECH)]
    others = [not ALONGSIDE.match(name) for name in class_names]
    leads = (speech > 0.5) & (speech > over_time[:, others].max(1, initial=0))
    if not leads.any():
        return np.zeros(2, np.float32)
    pitch, strength, energy = pitches(waveform)
    seconds = (np.arange(len(pitch)) * HOP + WINDOW / 2) / SR
    patch = np.round(seconds / 0.48 - 1).astype(int).clip(0, len(leads) - 1)
    clear = leads[patch] & (strength > 0.6) & (energy > np.quantile(energy, 0.3))
    pitch = pitch[clear]
    if len(pitch) < LEAST_FRAMES:
        return np.zeros(2, np.float32)
    within = [((pitch >= low) & (pitch < high)).mean() for low, high in (MEN, WOMEN)]
    return (np.array(within) > 0.5).astype(np.float32)


def pitches(waveform: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pitch in Hz, its strength in [0, 1] and the energy of each frame, (F,).

    The pitch is that of the first peak of at least .9 of the highest.
    """
    padded = np.pad(waveform, (0, max(0, WINDOW - len(waveform))))
    window = np.hanning(WINDOW)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP] * window
    longest = SR // LOWEST + 2
    lags = _autocorrelation(frames)[:, :longest]
    # the window's own fades with the lag
    lags = (
        lags
        / np.maximum(lags[:, :1], 1e-12)
        / _autocorrelation(window[None])[:, :longest]
    )
    lags *= (window**2).sum()
    first = SR // HIGHEST
    inner = lags[:, first:-1]
    peak = (inner >= lags[:, first - 1 : -2]) & (inner >= lags[:, first + 1 :])
    best = np.where(peak, inner, -1).max(1, keepdims=True)
    chosen = (peak & (inner >= 0.9 * best)).argmax(1)
    strength = inner[np.arange(len(inner)), chosen]
    return SR / (first + chosen), strength, (frames**2).mean(1)


def _autocorrelation(frames: np.ndarray) -> np.ndarray:
    power = np.abs(np.fft.rfft(frames, 2 * WINDOW)) ** 2
    return np.fft.irfft(power)[:, :WINDOW]
