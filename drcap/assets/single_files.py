"""Files that no package holds: downloaded by themselves, or brought in a folder.

One whose SHA-256 is known is downloaded where there is a network. One whose SHA-256 is
not known is never downloaded: it is taken from a folder or from the system's packages,
and only looked into, for what must be inside.
"""

import http.client
import shutil
import urllib.error
import urllib.request
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drcap.errors import AssetError
from drcap.files import sha256

_BLOCK = 1 << 20  # bytes
_BROKEN = (
    urllib.error.URLError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)


@dataclass(frozen=True)
class SingleFile:
    """A file of an asset, and what is known of it."""

    name: str  # its path in the asset's folder
    url: str | None = None
    sha256: str | None = None  # without it, the file is not downloaded
    holds: str | None = None  # a member of this jar, or a text in another file
    system: str | None = None  # where a package of the system puts it


def place(
    file: SingleFile, folder: Path, brought: list[Path], *, progress: bool = True
) -> None:
    """Put `file` into an asset's folder, checked.

    brought : folders to take it from; none: it is downloaded if it is pinned
    AssetError: it is not there, there is no connection, or it is another file
    """
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    known = [*(each / file.name for each in brought), *_system(file)]
    if source := next((path for path in known if path.is_file()), None):
        shutil.copyfile(source, target)
    elif file.url and file.sha256 and not brought:
        source = file.url
        _download(file, target, progress)
    else:
        where = f"in {brought[-1]}" if brought else "downloaded: its SHA-256 is unknown"
        raise AssetError(f"{file.name} is not {where}")
    _check(file, target, source)


def _system(file: SingleFile) -> list[Path]:
    return [Path(file.system)] if file.system else []


def _download(file: SingleFile, target: Path, progress: bool) -> None:
    try:
        with urllib.request.urlopen(file.url, timeout=60) as response:
            total = int(response.headers.get("Content-Length") or 0)
            with (
                open(target, "wb") as sink,
                tqdm.wrapattr(
                    response, "read", total, desc=file.name, disable=not progress
                ) as stream,
            ):
                shutil.copyfileobj(stream, sink, _BLOCK)
    except _BROKEN as error:
        raise AssetError(f"{file.url} cannot be downloaded ({error})") from error


def _check(file: SingleFile, path: Path, source: Path | str) -> None:
    if file.sha256 and (found := sha256(path)) != file.sha256:
        raise AssetError(
            f"{source} is not the pinned file: SHA-256 {found}, expected {file.sha256}"
        )
    if file.holds and not _holds(path, file.holds):
        raise AssetError(f"{source} is not the file wanted: {file.holds} is not in it")


def _holds(path: Path, wanted: str) -> bool:
    if path.suffix == ".jar":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return wanted in archive.namelist()
        return False
    with open(path, "rb") as stream:
        return wanted.encode() in stream.read(_BLOCK)
