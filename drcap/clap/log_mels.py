"""Log-mels of whole recordings, computed once: training then reads crops of them.

They lie in the cache folder as one float16 file, recording after recording, beside the
offset of each. The folder's name follows from the front end's settings and the files,
so a change of either makes another one. Checked against the front end itself.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from tqdm import tqdm

from drcap import audio, paths
from drcap.clap.front_end import LogMel
from drcap.config import FrontEndConfig
from drcap.errors import AudioError
from drcap.files import atomic_folder, write_json

VERSION = 1  # raised whenever what is stored for the same settings changes
AT_ONCE = 256  # recordings whose log-mels may wait to be written


class LogMels:
    """The stored log-mels of N recordings; those that cannot be read have none.

    offsets : (N + 1,) int64, where the frames of each recording begin and end
    unreadable : row -> why
    """

    def __init__(self, folder: Path):
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self.offsets = np.load(folder / "offsets.npy")
        self.unreadable = {int(row): why for row, why in index["unreadable"].items()}
        shape = (int(self.offsets[-1]), index["front_end"]["mels"])
        # an empty file cannot be mapped
        stored = (folder / "log_mels.float16", np.float16, "r", 0, shape)
        self.stored = np.memmap(*stored) if shape[0] else np.empty(shape, np.float16)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def frames(self, row: int) -> int:
        """Return how many frames a recording has; AudioError if it is unreadable."""
        if row in self.unreadable:
            raise AudioError(self.unreadable[row])
        return int(self.offsets[row + 1] - self.offsets[row])

    def crop(self, row: int, start: int, frames: int) -> np.ndarray:
        """Return frames of a recording from `start` on -> (frames, mels) float32."""
        first = self.offsets[row] + start
        return self.stored[first : first + frames].astype(np.float32)


def cached_log_mels(
    recordings: Sequence[Path], settings: FrontEndConfig, progress: bool = True
) -> LogMels:
    """Return the log-mels of the recordings, computed if the cache has none.

    A recording shorter than `settings.seconds` is followed by zeros up to it, so that
    every crop of `settings.frames` is one. Two processes compute nothing twice.
    """
    folder = paths.home() / "log-mels" / _key(recordings, settings)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            with atomic_folder(folder) as aside:
                _write(recordings, settings, aside, progress)
    return LogMels(folder)


def _key(recordings: Sequence[Path], settings: FrontEndConfig) -> str:
    """Hash the settings, and the name, size and time of change of each file."""
    files = []
    for path in recordings:
        status = path.stat() if path.exists() else None
        known = status and (status.st_size, status.st_mtime_ns)
        files.append((str(path.resolve()), known))
    content = json.dumps([VERSION, asdict(settings), files])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _write(
    recordings: Sequence[Path], settings: FrontEndConfig, folder: Path, progress: bool
) -> None:
    lengths, unreadable = [0], {}
    bar = tqdm(
        _computed(recordings, settings),
        **{"total": len(recordings), "desc": "computing log-mels", "unit": "clip"},
        disable=not progress,
    )
    with open(folder / "log_mels.float16", "wb") as stream:
        for row, result in enumerate(bar):
            if isinstance(result, AudioError):
                unreadable[row] = str(result)
                lengths.append(0)
            else:
                result.tofile(stream)
                lengths.append(len(result))
    np.save(folder / "offsets.npy", np.cumsum(lengths, dtype=np.int64))
    index = {"front_end": asdict(settings), "unreadable": unreadable}
    write_json(folder / "index.json", index)


def _computed(
    recordings: Sequence[Path], settings: FrontEndConfig
) -> Iterator[np.ndarray | AudioError]:
    """Yield the log-mel of each recording, (frames, mels) float16, or what is amiss."""
    front_end = LogMel(settings)

    @torch.inference_mode()  # holds for one thread
    def compute(path: Path) -> np.ndarray | AudioError:
        try:
            waveform = audio.load(path, settings.sr)
        except AudioError as error:
            return error
        samples = max(len(waveform), settings.samples)
        waveform = torch.from_numpy(audio.fit_length(waveform, samples))
        return front_end(waveform[None])[0].numpy().astype(np.float16)

    # decoding, resampling and the FFT leave Python's lock to one another
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(recordings), AT_ONCE):
            yield from threads.map(compute, recordings[start : start + AT_ONCE])
