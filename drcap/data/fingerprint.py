"""Audio fingerprints: whether two recordings hold the same sound, altered or cut.

After Wang (2003): landmarks, pairs of spectral peaks known by their two frequencies and
the time between them. Gain, an offset, a little noise, a low-pass or another sample
rate leave most of them as they are. Two recordings share sound if many landmarks agree
on one offset. Only those that occur once in a recording count, so that a steady tone,
a hum or silence is like nothing else.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from tqdm.contrib.concurrent import thread_map

from drcap import audio, cache
from drcap.errors import AudioError

VERSION = 1  # raised whenever the same recording gets another fingerprint
SR = 16_000  # Hz
WINDOW, HOP = 1024, 256  # samples, 64 ms every 16 ms
# A reference is taken from two starts, so that the frames of a copy, wherever it
# starts, lie within a quarter of a hop of those of one of them.
SKIPS = (0, HOP // 2)  # samples
LOWEST = 8  # the first bin used, at 125 Hz: mains hum lies below
FAINTEST = 1e-6  # power of a peak relative to the loudest, -60 dB
NEAR = (5, 7)  # a peak is the largest of so many frames and bins around it
ALONE = (15, 33)  # and is kept, however weak, if it is the largest of so many
PEAKS = 40  # the strongest peaks kept, for each second
REACH_FRAMES, REACH_BINS = 24, 32  # how far apart two peaks of a landmark may be
SECONDS = 60.0  # of a long recording in memory at once

# Measured on 43 clips of AudioCaps: two of them agree in at most 14 landmarks, one and
# its copy (offset, -12 dB, low-passed at 6 kHz, noise at 20 dB SNR) in 316 or more.
# Sounds made by one recipe agree in more, but in less than 2% of what they have.
LEAST_AGREEING = 20
LEAST_SHARE = 0.03  # of the landmarks of the recording that has fewer
SPAN = 1 << 32  # above any offset, in frames


def fingerprints_of(
    recordings: Sequence[Path], skip: int = 0
) -> list[np.ndarray | None]:
    """Return the spectral peaks of each recording, (P, 2) int32; None: unreadable.

    skip : samples at SR left out at the start
    A fingerprint is computed once and kept in the cache folder until its file changes.
    """

    def kept_peaks(path: Path) -> np.ndarray | None:
        key = [VERSION, skip, audio.state(path)]
        try:
            return cache.keep("fingerprints", key, lambda: peaks(path, skip))
        except AudioError:
            return None

    return _in_threads(kept_peaks, recordings, "fingerprinting")


def _in_threads(function: Callable, items: Sequence, text: str) -> list:
    options = {"unit": "clip", "leave": False, "delay": 2}
    return thread_map(function, items, desc=text, max_workers=os.cpu_count(), **options)


def peaks(path: Path | str, skip: int = 0) -> np.ndarray:
    """Return the spectral peaks of a recording -> (P, 2) int32, rows (frame, bin).

    skip : samples at SR left out at the start

    They are in order of time; a silent recording has none. Raises AudioError for a
    file that cannot be read.
    """
    parts = [np.empty((0, 2), np.int32)]
    for number, wave in enumerate(audio.windows(path, SR, SECONDS)):
        first = number * round(SECONDS * SR / HOP)
        parts.append(peaks_of(wave[skip:]) + np.int32([first, 0]))
    return np.concatenate(parts)


def peaks_of(waveform: np.ndarray) -> np.ndarray:
    """Return the spectral peaks of a waveform (n,) at SR Hz -> (P, 2) int32."""
    if len(waveform) < WINDOW or audio.is_silent(waveform):
        return np.empty((0, 2), np.int32)
    from scipy.ndimage import maximum_filter

    power = _power(waveform)  # (frames, bins)
    kept = power == maximum_filter(power, NEAR, mode="constant")
    kept &= power > FAINTEST * power.max()
    alone = kept & (power == maximum_filter(power, ALONE, mode="constant"))
    count = round(PEAKS * len(waveform) / SR)
    strengths = power[kept]
    if len(strengths) > count:
        kept &= power >= np.partition(strengths, -count)[-count]
    return (np.argwhere(kept | alone) + [0, LOWEST]).astype(np.int32)


def _power(waveform: np.ndarray) -> np.ndarray:
    """Return the power spectrogram from bin LOWEST on -> (frames, bins) float32."""
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(waveform, WINDOW)[::HOP]
    spectrum = rfft(frames * np.hanning(WINDOW).astype(np.float32))[:, LOWEST:-1]
    return spectrum.real**2 + spectrum.imag**2


def landmarks(peaks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the landmarks that occur once among peaks (P, 2), and their frames.

    returns : (L,) int32, increasing; (L,) int32, the frame of the first peak of each
    """
    frames, bins = peaks.T
    codes, starts = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for apart in range(1, len(peaks)):
        gap = frames[apart:] - frames[:-apart]
        if gap.min() > REACH_FRAMES:
            break
        rise = bins[apart:] - bins[:-apart]
        paired = (gap <= REACH_FRAMES) & (np.abs(rise) <= REACH_BINS)
        code = (bins[:-apart] * 128 + rise + 64) * 32 + gap
        codes.append(code[paired])
        starts.append(frames[:-apart][paired])
    code, first, count = np.unique(
        np.concatenate(codes), return_index=True, return_counts=True
    )
    return code[count == 1], np.concatenate(starts)[first[count == 1]]


def find_copies(
    recordings: Sequence[np.ndarray], references: Sequence[Sequence[np.ndarray]]
) -> list[int | None]:
    """Return for each recording the reference with which it shares sound, or None.

    recordings : the peaks of each, (P, 2) int32
    references : the peaks of each, from every start of SKIPS
    Of several such references it is the one with the most landmarks in agreement.
    """
    if not references:
        return [None] * len(recordings)
    owners = [row for row, starts in enumerate(references) for _ in starts]
    marks = [landmarks(peaks) for starts in references for peaks in starts]
    codes, frames = map(np.concatenate, zip(*marks, strict=True))
    sizes = np.array([len(own) for own, _ in marks])
    rows = np.repeat(np.arange(len(marks)), sizes)  # of an owner and a start
    order = np.argsort(codes, kind="stable")
    codes, places = codes[order], (rows * SPAN + SPAN // 2 + frames)[order]

    def search(peaks: np.ndarray) -> int | None:
        own, frames = landmarks(peaks)
        first, last = (np.searchsorted(codes, own, side) for side in ("left", "right"))
        counts = last - first
        if not counts.any():
            return None
        skipped = np.cumsum(counts) - counts
        at = np.arange(counts.sum()) + np.repeat(first - skipped, counts)
        # a vote of each landmark for a reference at an offset; the next offset counts
        votes = places[at] - np.repeat(frames, counts)
        offsets, agreeing = np.unique(votes, return_counts=True)
        agreeing[:-1] += agreeing[1:] * (np.diff(offsets) == 1)
        best = int(np.argmax(agreeing))
        row = offsets[best] // SPAN
        least = max(LEAST_AGREEING, LEAST_SHARE * min(len(own), sizes[row]))
        return owners[row] if agreeing[best] >= least else None

    return _in_threads(search, recordings, "comparing fingerprints")
