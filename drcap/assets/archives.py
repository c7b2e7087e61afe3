"""Single files out of a zip or tar archive, without trusting its names or its links.

Nothing is unpacked wholesale: a member that the caller names is copied to a path that
the caller chooses. Names that could leave a folder, and members that are not plain
files, are refused. "a.zip!b" names the member b of the archive a inside the archive.
"""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from drcap.errors import AssetError

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, RuntimeError)


def extract(archive: Path, member: str, folder: Path, target: str) -> Path:
    """Copy one member of a zip or tar archive to `folder / target`; return that path.

    AssetError: the archive is damaged or lacks the member, the member is not a plain
    file, or either name is absolute or contains "..".
    """
    for name in (*member.split("!"), target):
        _refuse_unsafe(name, archive)
    path = folder / target
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with _open(archive, member) as source, open(path, "wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
    except _DAMAGED as error:
        raise AssetError(
            f"{archive.name} is not a whole archive ({error}): fetch it again"
        ) from error
    return path


@contextmanager
def _open(archive: Path, member: str) -> Iterator[IO[bytes]]:
    outer, _, inner = member.partition("!")
    opener = _open_zip if zipfile.is_zipfile(archive) else _open_tar
    with opener(archive, outer) as stream:
        if not inner:
            yield stream
            return
        with _open_zip(stream, inner) as nested:
            yield nested


@contextmanager
def _open_zip(archive: Path | IO[bytes], member: str) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(archive) as opened:
        try:
            info = opened.getinfo(member)
        except KeyError as error:
            raise _lacks(archive, member) from error
        if info.is_dir() or stat.S_ISLNK(info.external_attr >> 16):
            raise _not_plain(archive, member)
        with opened.open(info) as stream:
            yield stream


@contextmanager
def _open_tar(archive: Path, member: str) -> Iterator[IO[bytes]]:
    with tarfile.open(archive) as opened:
        try:
            info = opened.getmember(member)
        except KeyError as error:
            raise _lacks(archive, member) from error
        if not info.isreg():  # extractfile would follow a link
            raise _not_plain(archive, member)
        with opened.extractfile(info) as stream:
            yield stream


def _refuse_unsafe(name: str, archive: Path) -> None:
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    anchored = posix.is_absolute() or windows.anchor
    if not name or anchored or ".." in windows.parts:
        raise AssetError(
            f"{archive.name}: refused the path '{name}', which leads out of its folder"
        )


def _lacks(archive: Path | IO[bytes], member: str) -> AssetError:
    return AssetError(f"{_name(archive)} has no member '{member}'")


def _not_plain(archive: Path | IO[bytes], member: str) -> AssetError:
    return AssetError(f"{_name(archive)}: refused '{member}', which is not a file")


def _name(archive: Path | IO[bytes]) -> str:
    return Path(getattr(archive, "name", "archive")).name
