"""Recordings: found, checked, decoded in blocks, mixed to mono and resampled.

In: a file of any rate, depth and channel count, of a kind that libsndfile reads or,
where it is installed, ffmpeg. Out: float32 waveforms at the CLAP encoder's rate, (n,).
Memory does not grow with the file, except in `load`. A file that cannot be trusted is
an AudioError that names it first; what is only odd is a warning.
"""

import itertools
import logging
import mmap
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from drcap.errors import AudioError

READABLE = (
    *(".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".w64", ".rf64"),
)
THROUGH_FFMPEG = (
    *(".m4a", ".mp4", ".m4v", ".mov", ".3gp", ".aac", ".ac3", ".webm", ".mkv", ".mka"),
    *(".avi", ".flv", ".mpg", ".mpeg", ".wma", ".wmv", ".wv", ".ape", ".amr", ".dts"),
)
BLOCK = 65_536  # frames decoded at once
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; outside, the header is damaged
LEAST_TAIL = 1.0  # seconds; a shorter last window says too little
HIGHEST_PEAK = 4.0  # of a float sample: 12 dB too loud may be, integers may not
# A 16-bit step is -90 dBFS and an idle recorder hisses near -80; the faintest of 53
# real clips peaks at -33.
SILENCE_DBFS = -60.0
CANCELLED = 0.01  # power of an average, relative to that of unrelated channels
# Writers that stream cannot know the length: they leave a value near 2**31 or 2**32.
UNKNOWN_LENGTH = 0x7FFF_F000
# A recorder that was killed leaves 0; another chunk may follow what is truly empty.
NO_LENGTH = re.compile(rb"data\0\0\0\0(?![A-Za-z]{3}[A-Za-z ]|$)")
MP3_SLACK = 4 * 1152  # frames by which an encoder's count may be too high
SHORT_DATA = re.compile(
    r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE
)

File = str | os.PathLike
_log = logging.getLogger(__name__)


class _Recording(soundfile.SoundFile):
    """A file that is read from its start to its end."""

    def seekable(self) -> bool:
        # else soundfile seeks after each read, which fails in a FLAC of unknown length
        return False


def _check_file(path: Path) -> None:
    """Refuse what is no readable file, before any decoder sees it."""
    try:
        if path.exists() and not path.is_file():
            raise AudioError(f"{path}: is a folder or a device; give a recording")
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


def _check_samples(samples: np.ndarray, name: str, place: str = "") -> None:
    """Raise an AudioError unless all samples are numbers in or near [-1, 1]."""
    if not np.isfinite(samples).all():
        raise AudioError(f"{name}: holds NaN or infinite samples{place}")
    peak = np.abs(samples).max(initial=0)
    if peak > HIGHEST_PEAK:
        raise AudioError(
            f"{name}: holds samples up to {peak:,.1f}{place}, far outside [-1, 1]; "
            "they are probably integers saved as floats: divide them by the integers' "
            "largest value, such as 32768, and save them again"
        )


def _truncated(path: Path, seconds: float) -> AudioError:
    return AudioError(
        f"{path}: is truncated or damaged, only {seconds:.2f} s can be decoded; "
        "copy or download it again"
    )


def _by_libsndfile(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (rate, frames) block by block; AudioError where the file breaks off."""
    with _open(path) as recording:
        rate, count = recording.samplerate, 0
        _check_header(recording, path)
        try:
            while len(block := recording.read(BLOCK, "float32", always_2d=True)):
                count += len(block)
                yield rate, block
        except soundfile.SoundFileError:
            raise _truncated(path, count / rate) from None
        # a streamed FLAC states some 2**63 frames
        if recording.format == "FLAC" and count < recording.frames < 2**62:
            raise _truncated(path, count / rate)
        # without a count in the file its length is libsndfile's guess: no error
        if recording.format == "MP3" and count < recording.frames - MP3_SLACK:
            _log.warning(
                "%s: may be truncated, only %.1f s of %.1f s can be decoded",
                *(path, count / rate, recording.frames / rate),
            )


def _open(path: Path) -> _Recording:
    """Open a recording; one of a WAV header that states no length by what is there."""
    try:
        recording = _Recording(os.fsencode(path))
        if recording.format == "WAV" and not recording.frames:
            with path.open("rb") as stream:  # a copy in memory of what is written to
                data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
            if header := NO_LENGTH.search(data, 0, BLOCK):
                size = min(len(data) - header.end(), UNKNOWN_LENGTH)
                data[header.end() - 4 : header.end()] = size.to_bytes(4, "little")
                _log.warning("%s: its header states no length; read to its end", path)
                recording = _Recording(data)
    except (soundfile.SoundFileError, TypeError):  # TypeError: a headerless .raw
        raise AudioError(
            f"{path}: is damaged or not audio of a readable kind; "
            "convert it to wav, flac, ogg or mp3"
        ) from None
    if not LOWEST_RATE <= recording.samplerate <= HIGHEST_RATE:
        raise AudioError(
            f"{path}: has a sample rate of {recording.samplerate} Hz; its header is "
            "damaged, export it again"
        )
    return recording


def _check_header(recording: _Recording, path: Path) -> None:
    """Refuse a truncated Ogg file; warn of samples that a header promises."""
    seconds = recording.frames / recording.samplerate
    if recording.format == "OGG":
        _check_ogg(path, seconds)
    # libsndfile only notes it in its log
    if note := SHORT_DATA.search(recording.extra_info):
        promised, present = map(int, note.groups())
        missing = seconds * (promised / max(present, 1) - 1)
        if promised < UNKNOWN_LENGTH and missing > 0.1:
            _log.warning("%s: lacks %.1f s of what its header promises", path, missing)


def _check_ogg(path: Path, seconds: float) -> None:
    """Refuse an Ogg file without its last page, or with several streams."""
    with path.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    if len(re.findall(rb"OggS\0[\x02\x06]", data)) > 1:  # first pages
        raise AudioError(
            f"{path}: holds several Ogg streams, of which one would be read; convert "
            "it to wav or flac"
        )
    page = data[data.rfind(b"OggS\0") :]
    sizes = page[27 : 27 + page[26]] if len(page) > 26 else b""
    last = page[5:6] in (b"\x04", b"\x05", b"\x06")
    if not last or len(page) < 27 + len(sizes) + sum(sizes):
        raise _truncated(path, seconds)


def _by_ffmpeg(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (rate, frames) block by block of a file's first audio track."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise AudioError(
            f"{path}: a {path.suffix} file is read through ffmpeg, which is not "
            "installed; install it, or convert it to wav, flac, ogg or mp3"
        )
    command = [program, "-nostdin", "-v", "error", "-xerror", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-c:a", "pcm_f32be", "-f", "au", "pipe:1"]
    with tempfile.TemporaryFile() as log:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
            header = process.stdout.read(24)  # of the AU format, big-endian
            if len(header) == 24:
                _, start, _, _, rate, channels = struct.unpack(">6I", header)
                process.stdout.read(start - len(header))
                while data := process.stdout.read(4 * channels * BLOCK):
                    frames = np.frombuffer(data, ">f4").reshape(-1, channels)
                    yield rate, frames.astype(np.float32)
        log.seek(0)
        reason = log.readline().decode(errors="replace").strip()
        reason = re.sub(r"^\[.*?\] ", "", reason)  # the part of ffmpeg that reports it
    if process.returncode:
        raise AudioError(
            f"{path}: ffmpeg cannot decode it ({reason}); copy or download it again, "
            "or convert it to wav, flac, ogg or mp3"
        )
    if reason:
        _log.warning("%s: ffmpeg reports: %s", path, reason)


def _blocks(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (rate, frames (n, channels) float32) of a recording, checked."""
    _check_file(path)
    through_ffmpeg = path.suffix.lower() in THROUGH_FFMPEG
    decode = _by_ffmpeg if through_ffmpeg else _by_libsndfile
    seconds = 0.0
    for rate, frames in decode(path):
        _check_samples(frames, str(path), f" after {seconds:.1f} s")
        seconds += len(frames) / rate
        yield rate, frames
    if not seconds:
        raise AudioError(f"{path}: holds no samples; record or export it again")


def _mono(path: Path) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (rate, samples (n,)): the channels' mean, or the loudest if they cancel."""
    warned = False
    for rate, frames in _blocks(path):
        samples, powers = frames.mean(axis=1), frames.var(axis=0)
        loudest = frames[:, np.argmax(powers > 0.9 * powers.max())]
        cancelled = samples.var() < CANCELLED * powers.sum() / len(powers) ** 2
        if (cancelled or is_silent(samples)) and not is_silent(loudest):
            samples = loudest
            if not warned:
                _log.warning(
                    "%s: its channels cancel when averaged; the loudest is used", path
                )
            warned = True
        yield rate, samples


def _resampled(
    blocks: Iterable[tuple[int, np.ndarray]], sr: int
) -> Iterator[np.ndarray]:
    """Yield blocks of (rate, samples) at `sr` Hz; there is at least one."""
    resampler = None
    for rate, samples in blocks:
        resampler = resampler or soxr.ResampleStream(rate, sr, 1, dtype="float32")
        yield resampler.resample_chunk(samples)
    yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def _windows(
    blocks: Iterable[np.ndarray], sr: int, seconds: float
) -> Iterator[np.ndarray]:
    """Yield windows of so many seconds; drop a short tail unless it is all there is."""
    size, first = round(sr * seconds), True
    pending = np.zeros(0, np.float32)
    for block in blocks:
        pending = np.concatenate([pending, block])
        while len(pending) >= size:
            yield pending[:size].copy()
            pending, first = pending[size:], False
    if len(pending) and (first or len(pending) >= LEAST_TAIL * sr):
        yield pending


def load(path: File, sr: int) -> np.ndarray:
    """Return a whole recording as mono (n,) float32 at `sr` Hz.

    Raises AudioError, as all readers here do, if the file cannot be trusted.
    """
    return np.concatenate([*_resampled(_mono(Path(path)), sr)])


def measure(path: File) -> float:
    """Decode a whole recording, checked as in `load`; return its length in seconds."""
    blocks = ((len(frames), rate) for rate, frames in _blocks(Path(path)))
    counts, rates = zip(*blocks, strict=True)
    return sum(counts) / rates[0]


def windows(path: File, sr: int, seconds: float = 10.0) -> Iterator[np.ndarray]:
    """Yield consecutive windows of a recording, each (<= seconds * sr,) float32.

    A tail under LEAST_TAIL seconds is dropped unless it is all there is. A fault late
    in the file is raised there, as an AudioError.
    """
    return _windows(_resampled(_mono(Path(path)), sr), sr, seconds)


def first_seconds(path: File, sr: int, seconds: float = 10.0) -> np.ndarray:
    """Return the beginning of a recording's first channel, (<= seconds * sr,) float32.

    The authors' code reads no more. The rest is not decoded, so not checked either.
    """
    channel = ((rate, frames[:, 0]) for rate, frames in _blocks(Path(path)))
    return next(_windows(_resampled(channel, sr), sr, seconds))


def waveform_windows(
    waveform: np.ndarray, sr: int, seconds: float, *, beginning: bool = False
) -> list[np.ndarray]:
    """Return a waveform in windows, float32, the last of them as short as it falls.

    waveform : (n,) samples of any float type in [-1, 1]        sr : of it, in Hz
    seconds : of a window        beginning : only the first one

    A tail under LEAST_TAIL seconds is dropped, as in a file. Raises AudioError if the
    waveform is not one.
    """
    if waveform.ndim != 1 or not len(waveform):
        raise AudioError(f"waveform: expected (n,) samples, got {waveform.shape}")
    if not np.issubdtype(waveform.dtype, np.floating):
        raise AudioError(
            f"waveform: expected float samples in [-1, 1], got {waveform.dtype}; "
            "divide by the type's largest value"
        )
    _check_samples(waveform, "waveform")
    cut = _windows([waveform.astype(np.float32, copy=False)], sr, seconds)
    return list(itertools.islice(cut, 1 if beginning else None))


def state(path: Path) -> list[str | int]:
    """Return what changes with a recording: its path, size in bytes and time in ns."""
    if not os.path.exists(path):  # a link to nothing, or not to be looked into
        return [str(path.resolve())]
    facts = path.stat()
    return [str(path.resolve()), facts.st_size, facts.st_mtime_ns]


def fit_length(waveform: np.ndarray, samples: int) -> np.ndarray:
    """Crop a waveform, or pad its end with zeros -> (samples,)."""
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def is_silent(waveform: np.ndarray) -> bool:
    """Say whether the peak, any constant offset aside, is below SILENCE_DBFS."""
    if not len(waveform):
        return True
    peak = np.abs(waveform - waveform.mean()).max()
    return bool(peak < 10 ** (SILENCE_DBFS / 20))


def find_recordings(paths: Iterable[File], recursive: bool = False) -> list[Path]:
    """Return the recordings meant by `paths`, in order, each once.

    A file stays as given even if it does not exist: whoever reads it reports it. A
    folder stands for its recordings, sorted, with those of its subfolders and of the
    folders that are linked there if `recursive`. Raises AudioError if it has none.
    """
    recordings: dict[str, Path] = {}
    for path in map(Path, paths):
        for recording in _inside(path, recursive) if path.is_dir() else [path]:
            recordings.setdefault(os.path.abspath(recording), recording)
    return list(recordings.values())


def _inside(folder: Path, recursive: bool) -> list[Path]:
    """Return the recordings of a folder, sorted; hidden files and folders skipped."""
    recordings, visited = [], set()

    def refuse(error: OSError) -> None:
        raise AudioError(f"{error.filename}: cannot be listed ({error.strerror})")

    for here, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        # a linked folder comes last: its recordings are listed once, where they lie
        subfolders.sort(key=lambda name: (os.path.islink(f"{here}/{name}"), name))
        kept = subfolders if recursive else []
        subfolders[:] = [name for name in kept if not name.startswith(".")]
        if (real := os.path.realpath(here)) in visited:
            subfolders.clear()
            continue
        visited.add(real)
        recordings += [
            Path(here, name)
            for name in names
            if name.lower().endswith(READABLE + THROUGH_FFMPEG)
            and not name.startswith(".")
        ]
    if not recordings:
        raise AudioError(
            f"{folder}: holds no recordings (wav, flac, ogg, mp3 and the like)"
            + ("" if recursive else "; subfolders are searched only if asked for")
        )
    return sorted(recordings)
