"""Fingerprints of many recordings, each computed once and kept in the cache folder.

In: files. Out: the spectral peaks of each (fingerprint.py). They are kept under the
file's path, size and time of change, so that another recording there gets another.
"""

import hashlib
import itertools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from drcap import paths
from drcap.data.fingerprint import peaks
from drcap.errors import AudioError
from drcap.files import atomic_path

VERSION = 1  # raised whenever the same recording gets another fingerprint
AT_ONCE = 256  # recordings handed to the threads at a time


def fingerprints_of(
    recordings: Sequence[Path], skip: int = 0, progress: bool = True
) -> list[np.ndarray | AudioError]:
    """Return the spectral peaks of each recording, (P, 2) int32, or what is amiss.

    skip : samples left out at the start, as for fingerprint.peaks
    Two processes that compute the same one write the same bytes, each file whole.
    """
    found: list[np.ndarray | AudioError] = []
    bar = tqdm(
        total=len(recordings),
        **{"desc": "fingerprinting", "unit": "clip", "leave": False},
        disable=not progress,
        delay=2,
    )
    with bar, ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(recordings), AT_ONCE):
            part = recordings[start : start + AT_ONCE]
            for each in threads.map(_peaks, part, itertools.repeat(skip)):
                found.append(each)
                bar.update()
    return found


def _peaks(path: Path, skip: int) -> np.ndarray | AudioError:
    """Return the peaks of a recording from the cache folder, computed if need be."""
    try:
        status = path.stat()
        facts = (VERSION, skip, str(path.resolve()), status.st_size, status.st_mtime_ns)
        name = hashlib.sha256(repr(facts).encode()).hexdigest()
        stored = paths.home() / "fingerprints" / name[:2] / f"{name[2:]}.npy"
        if stored.exists():
            return np.load(stored)
        found = peaks(path, skip)
    except OSError as error:
        return AudioError(f"{path}: cannot be opened ({error.strerror})")
    except AudioError as error:
        return error
    with atomic_path(stored) as aside:
        np.save(aside, found)
    return found
