"""Recordings: found, checked, decoded in blocks, mixed to mono and resampled.

In: wav, flac, ogg or mp3 of any rate, depth and channel count. Out: float32 waveforms
in [-1, 1] at the CLAP encoder's rate, (n,). A file is never whole in memory unless
`load` is asked for it; a file that cannot be trusted is an AudioError, named first.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from drcap.audio.containers import cut_short, least_frames
from drcap.errors import AudioError

READABLE = (
    *(".wav", ".flac", ".ogg", ".mp3", ".oga", ".opus"),
    *(".aif", ".aiff", ".au", ".caf", ".w64"),
)
UNREADABLE = (".m4a", ".aac", ".wma")  # found in folders, to be reported one by one
BLOCK = 65_536  # frames decoded at once
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; outside, the header is damaged
LEAST_TAIL = 1.0  # seconds; a shorter last window says too little
# A 16-bit step is -90 dBFS and an idle recorder hisses near -80; the faintest of 53
# real clips peaks at -33.
SILENCE_DBFS = -60.0


def _check_file(path: Path) -> None:
    """Refuse what is no readable file, before any decoder sees it."""
    if path.is_dir():
        raise AudioError(f"{path}: is a folder; give a recording inside it")
    if path.exists() and not path.is_file():
        raise AudioError(f"{path}: is not a regular file; copy the recording to one")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except FileNotFoundError:
        raise AudioError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise AudioError(
            f"{path}: cannot be opened ({error.strerror}); check its permissions"
        ) from None
    if empty:
        raise AudioError(f"{path}: is empty (0 bytes); copy or download it again")


def _open(path: Path) -> soundfile.SoundFile:
    """Open a recording and check what its header says."""
    _check_file(path)
    try:
        recording = soundfile.SoundFile(path)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a headerless .raw
        raise AudioError(
            f"{path}: is damaged or not audio of a readable kind; "
            "convert it to wav, flac, ogg or mp3"
        ) from None
    rate = recording.samplerate
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        recording.close()
        raise AudioError(
            f"{path}: has a sample rate of {rate} Hz, outside {LOWEST_RATE} to "
            f"{HIGHEST_RATE}; its header is damaged, export it again"
        )
    return recording


def _truncated(path: Path, seconds: float) -> AudioError:
    return AudioError(
        f"{path}: is truncated or damaged, only {seconds:.2f} s can be decoded; "
        "copy or download it again"
    )


def _read_frames(recording: soundfile.SoundFile, path: Path, count: int) -> np.ndarray:
    """Decode up to `count` frames -> (<= count, channels) float32."""
    start = recording.tell() / recording.samplerate
    try:
        frames = recording.read(count, dtype="float32", always_2d=True)
    except soundfile.SoundFileError:
        raise _truncated(path, start) from None
    if not np.isfinite(frames).all():
        raise AudioError(
            f"{path}: holds NaN or infinite samples after {start:.2f} s; "
            "export it again"
        )
    return frames


def _read_block(recording: soundfile.SoundFile, path: Path) -> np.ndarray:
    """Decode up to BLOCK frames, averaged over channels -> (<= BLOCK,) float32."""
    return _read_frames(recording, path, BLOCK).mean(axis=1)


def _decoded(recording: soundfile.SoundFile, path: Path) -> Iterator[np.ndarray]:
    """Yield the mono blocks of a recording; AudioError if it breaks off early."""
    if cut_short(recording):
        raise _truncated(path, recording.frames / recording.samplerate)
    frames = 0
    while len(block := _read_block(recording, path)):
        frames += len(block)
        yield block
    if frames < least_frames(recording):
        raise _truncated(path, frames / recording.samplerate)


def _resampled(path: Path, sr: int) -> Iterator[np.ndarray]:
    """Yield a recording's mono waveform at `sr` Hz in consecutive blocks."""
    produced = 0
    with _open(path) as recording:
        resampler = soxr.ResampleStream(recording.samplerate, sr, 1, dtype="float32")
        for block in _decoded(recording, path):
            resampled = resampler.resample_chunk(block)
            produced += len(resampled)
            yield resampled
    rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
    if not produced + len(rest):
        raise AudioError(f"{path}: holds no samples; record or export it again")
    yield rest


def load(path: str | os.PathLike, sr: int) -> np.ndarray:
    """Return a whole recording, checked, as mono (n,) float32 at `sr` Hz."""
    return np.concatenate(list(_resampled(Path(path), sr)))


def measure(path: str | os.PathLike) -> float:
    """Decode a whole recording, checked as `load` does; return its length in seconds.

    Nothing is resampled and no more than a block is in memory.
    """
    path, frames = Path(path), 0
    with _open(path) as recording:
        for block in _decoded(recording, path):
            frames += len(block)
        if not frames:
            raise AudioError(f"{path}: holds no samples; record or export it again")
        return frames / recording.samplerate


def windows(
    path: str | os.PathLike, sr: int, seconds: float = 10.0
) -> Iterator[np.ndarray]:
    """Yield consecutive windows of a recording, each (<= seconds * sr,) float32.

    Memory does not grow with the recording's length. A tail under LEAST_TAIL seconds
    is dropped unless it is all there is. A fault late in the file is raised there.
    """
    size, first = round(seconds * sr), True
    pending = np.zeros(0, np.float32)
    for block in _resampled(Path(path), sr):
        pending = np.concatenate([pending, block])
        while len(pending) >= size:
            yield pending[:size].copy()
            pending, first = pending[size:], False
    if len(pending) and (first or len(pending) >= LEAST_TAIL * sr):
        yield pending


def first_seconds(
    path: str | os.PathLike, sr: int, seconds: float = 10.0
) -> np.ndarray:
    """Return the beginning of a recording's first channel, (<= seconds * sr,) float32.

    What the authors' code hears of it. The rest is not decoded, so not checked either.
    """
    path = Path(path)
    with _open(path) as recording:
        if cut_short(recording):
            raise _truncated(path, recording.frames / recording.samplerate)
        count = round(seconds * recording.samplerate)
        channel = _read_frames(recording, path, count)[:, 0]
        if len(channel) < min(count, least_frames(recording)):
            raise _truncated(path, len(channel) / recording.samplerate)
        resampled = soxr.resample(channel, recording.samplerate, sr)
    if not len(resampled):
        raise AudioError(f"{path}: holds no samples; record or export it again")
    return resampled[: round(seconds * sr)]


def fit_length(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Crop a waveform, or pad its end with zeros -> (samples,)."""
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def is_silent(waveform: np.ndarray) -> bool:
    """Say whether the peak, any constant offset aside, is below SILENCE_DBFS."""
    if not len(waveform):
        return True
    peak = np.abs(waveform - waveform.mean()).max()
    return bool(peak < 10 ** (SILENCE_DBFS / 20))


def _refuse_folder(error: OSError) -> None:
    raise AudioError(f"{error.filename}: cannot be listed ({error.strerror})")


def _inside(folder: Path, recursive: bool) -> list[Path]:
    """Return the recordings of a folder, sorted; hidden files and folders skipped."""
    found = []
    for here, subfolders, names in os.walk(folder, onerror=_refuse_folder):
        kept = subfolders if recursive else []
        subfolders[:] = [name for name in kept if not name.startswith(".")]
        found += [
            Path(here, name)
            for name in names
            if name.lower().endswith(READABLE + UNREADABLE) and name[0] != "."
        ]
    if not found:
        raise AudioError(
            f"{folder}: holds no recordings (wav, flac, ogg, mp3)"
            + ("" if recursive else "; subfolders are searched only if asked for")
        )
    return sorted(found)


def find_recordings(
    paths: Iterable[str | os.PathLike], recursive: bool = False
) -> list[Path]:
    """Return the recordings meant by `paths`, in order, each once.

    A file stays as given even if it does not exist: whoever reads it reports it.
    A folder stands for its recordings, sorted, with those of its subfolders if
    `recursive`; one without any is an AudioError.
    """
    found: dict[str, Path] = {}
    for path in map(Path, paths):
        for recording in _inside(path, recursive) if path.is_dir() else [path]:
            found.setdefault(os.path.abspath(recording), recording)
    return list(found.values())
