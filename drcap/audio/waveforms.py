"""Waveforms that are in memory already, read by the same windows as files."""

import numpy as np

from drcap.audio import LEAST_TAIL
from drcap.errors import AudioError


def windows(
    waveform: np.ndarray, sr: int, seconds: float, *, beginning: bool = False
) -> list[np.ndarray]:
    """Return a waveform in windows, float32, the last of them as short as it falls.

    waveform : (n,) samples of any float type in [-1, 1]        sr : of it, in Hz
    seconds : of a window        beginning : only the first one

    A tail under LEAST_TAIL seconds is dropped, as in a file. AudioError if the waveform
    is not one.
    """
    _check(waveform)
    size = round(sr * seconds)
    samples = waveform.astype(np.float32, copy=False)
    pieces = [samples[start : start + size] for start in range(0, len(samples), size)]
    if len(pieces) > 1 and len(pieces[-1]) < min(size, LEAST_TAIL * sr):
        pieces.pop()
    return pieces[:1] if beginning else pieces


def _check(waveform: np.ndarray) -> None:
    if waveform.ndim != 1 or not len(waveform):
        raise AudioError(f"waveform: expected (n,) samples, got {waveform.shape}")
    if not np.issubdtype(waveform.dtype, np.floating):
        raise AudioError(
            f"waveform: expected float samples in [-1, 1], got {waveform.dtype}; "
            "divide by the type's largest value"
        )
    if not np.isfinite(waveform).all():
        raise AudioError("waveform: holds NaN or infinite samples")
