"""Recordings out of a zip archive in parts (x.z01, x.z02, ..., x.zip), as WavCaps' are.

The parts are read as one file, without joining them on disk. Each recording goes to one
folder under its bare name, so that no name in the archive can lead elsewhere; a name
that tries is reported. What is already there in full is not written again.
"""

import io
import re
import shutil
import stat
import struct
import zipfile
import zlib
from bisect import bisect_right
from itertools import accumulate
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from drcap.audio import READABLE
from drcap.errors import DatasetError
from drcap.files import atomic_path

END, LOCATOR, END64 = b"PK\x05\x06", b"PK\x06\x07", b"PK\x06\x06"
LONGEST_TAIL = 65_535 + 22 + 20 + 56  # comment, end record, locator, 64-bit record


def extract_recordings(
    archive: Path, folder: Path, *, progress: bool = True
) -> list[str]:
    """Copy the recordings of `archive` (the .zip, its parts beside it) to `folder`.

    returns : one line for each member that was refused or is damaged; others are done
    DatasetError: a part is missing, or the archive's directory cannot be read
    """
    parts = _parts(archive)
    problems, taken = [], set()
    with _Joined(parts) as stream:
        opened = _open(archive, stream)
        members = [info for info in opened.infolist() if not info.is_dir()]
        bar = tqdm(
            members,
            desc=archive.stem,
            unit="clip",
            leave=False,
            delay=2,
            disable=not progress,
        )
        for info in bar:
            fault = _refusal(info, taken) or _copy(opened, info, folder)
            if fault:
                problems.append(f"{archive}: {info.filename!r} {fault}")
    return problems


def _parts(archive: Path) -> list[Path]:
    """Return all parts in order, the .zip last; DatasetError if one is missing."""
    pattern = re.compile(re.escape(archive.stem) + r"\.z(\d+)", re.IGNORECASE)
    numbered = {
        int(found[1]): path
        for path in archive.parent.iterdir()
        if (found := pattern.fullmatch(path.name))
    }
    wanted = _last_part(archive)
    for number in range(1, wanted + 1):
        if number not in numbered:
            raise DatasetError(
                f"{archive.parent / archive.stem}.z{number:02d}: no such file, one of "
                f"the {wanted + 1} parts of {archive.name}; download it again"
            )
    return [*(numbered[number] for number in range(1, wanted + 1)), archive]


def _last_part(archive: Path) -> int:
    """Return the number of the last part, which the end of the .zip states."""
    tail = _tail(archive)
    at = tail.rfind(END)
    if at < 0 or len(tail) < at + 22:
        raise DatasetError(
            f"{archive}: is cut short or no zip archive; download it again"
        )
    (number,) = struct.unpack_from("<H", tail, at + 4)
    if number == 0xFFFF and tail[at - 20 : at - 16] == LOCATOR:
        (count,) = struct.unpack_from("<I", tail, at - 4)
        number = count - 1
    return number


def _tail(path: Path) -> bytes:
    with open(path, "rb") as stream:
        stream.seek(max(0, path.stat().st_size - LONGEST_TAIL))
        return stream.read()


class _Joined(io.RawIOBase):
    """The parts as one file; its end says that it is one, which zipfile insists on."""

    def __init__(self, parts: list[Path]):
        sizes = [part.stat().st_size for part in parts]
        self.streams = [open(part, "rb") for part in parts]
        self.starts = [0, *accumulate(sizes)]
        self.end = self.starts.pop()
        self.position = 0
        tail = bytearray(_tail(parts[-1]))
        at = tail.rfind(LOCATOR, 0, max(0, tail.rfind(END)))
        if at >= 0:
            struct.pack_into("<I", tail, at + 4, 0)
            struct.pack_into("<I", tail, at + 16, 1)  # "one part in all"
        self.tail, self.tail_start = bytes(tail), self.end - len(tail)
        self.directory_part = self._directory_part()

    def _directory_part(self) -> int:
        """Return the index of the part in which the archive's directory starts."""
        at = self.tail.rfind(END)
        (number,) = struct.unpack_from("<H", self.tail, at + 6)
        at64 = self.tail.rfind(END64, 0, at)
        if number == 0xFFFF and at64 >= 0:
            (number,) = struct.unpack_from("<I", self.tail, at64 + 20)
        return min(number, len(self.starts) - 1)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self.position, io.SEEK_END: self.end}
        if base[whence] + offset < 0:
            raise OSError("seek before the start")  # as a file does; zipfile expects it
        self.position = base[whence] + offset
        return self.position

    def readinto(self, buffer) -> int:
        if self.position >= self.end:
            return 0
        if self.position >= self.tail_start:
            at = self.position - self.tail_start
            data = self.tail[at : at + len(buffer)]
        else:
            part = bisect_right(self.starts, self.position) - 1
            self.streams[part].seek(self.position - self.starts[part])
            data = self.streams[part].read(
                min(len(buffer), self.tail_start - self.position)
            )
        buffer[: len(data)] = data
        self.position += len(data)
        return len(data)

    def close(self) -> None:
        for stream in getattr(self, "streams", ()):
            stream.close()
        super().close()


def _open(archive: Path, stream: _Joined) -> zipfile.ZipFile:
    """Open the joined parts; a member's place counts from the start of its part."""
    try:
        opened = zipfile.ZipFile(io.BufferedReader(stream, 1 << 20))
    except (zipfile.BadZipFile, OSError, struct.error) as error:
        raise DatasetError(
            f"{archive}: its directory cannot be read ({error}); download it again"
        ) from None
    shift = stream.starts[stream.directory_part]
    for info in opened.infolist():
        part = min(info.volume, len(stream.starts) - 1)
        info.header_offset += stream.starts[part] - shift
        if hasattr(info, "_end_offset"):  # newer Pythons: told from the uncorrected
            info._end_offset = None
    return opened


def _refusal(info: zipfile.ZipInfo, taken: set[str]) -> str | None:
    """Say why a member is not extracted, if so; note the name it will have."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1]):
        return "leads out of its folder and was refused"
    if stat.S_ISLNK(info.external_attr >> 16):
        return "is a link and was refused"
    if path.suffix.lower() not in READABLE:
        return None if path.name.startswith(".") else "is no recording and was left"
    if path.name in taken:
        return "has the name of another recording of the archive and was left"
    taken.add(path.name)
    return None


def _copy(opened: zipfile.ZipFile, info: zipfile.ZipInfo, folder: Path) -> str | None:
    name = PurePosixPath(info.filename.replace("\\", "/")).name
    target = folder / name
    if Path(name).suffix.lower() not in READABLE:
        return None
    if target.is_file() and target.stat().st_size == info.file_size:
        return None
    damage = (zipfile.BadZipFile, zlib.error, EOFError, struct.error)
    try:
        with opened.open(info) as source, atomic_path(target) as path:
            with open(path, "wb") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)
    except damage as error:
        return f"is damaged ({error or 'cut short'}); download its part again"
    except (RuntimeError, NotImplementedError) as error:  # a password, an odd method
        return f"cannot be unpacked ({error})"
    except OSError as error:
        raise DatasetError(
            f"{target}: cannot be written ({error.strerror}); free some space or "
            "check the permissions, and run the command again"
        ) from None
    return None
