"""One pinned file from the package index, through pip and its configuration.

pip compares the SHA-256 before it looks inside the file; it is compared here once more,
which is also the only check of a file taken from a folder. Nothing is installed.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drcap.errors import AssetError
from drcap.files import sha256

_NO_CONNECTION = ("connection broken", "ConnectionError")


@dataclass(frozen=True)
class Package:
    """A file on the package index, pinned."""

    requirement: str  # name==version
    kind: str  # "wheel" or "sdist"
    file: str  # its file name
    sha256: str
    bytes: int


def download(package: Package, folder: Path, *, progress: bool = True) -> Path:
    """Fetch the pinned file into `folder` with pip; return its path, checked.

    AssetError: no connection, another file under that name, or any failure of pip.
    """
    log = folder / "pip.log"
    command = _pip_command(package, folder)
    # pip downloads to its temporary folder first: there the file is seen growing.
    environment = {**os.environ, "TMPDIR": str(folder)}
    with (
        open(log, "w", encoding="utf-8") as stderr,
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=stderr, env=environment
        ) as pip,
    ):
        try:
            _follow(pip, package, folder, progress)
        except BaseException:
            pip.kill()
            raise
    if pip.returncode != 0:
        raise AssetError(_explain(package, log.read_text(errors="replace")))
    return checked(package, folder)


def checked(package: Package, folder: Path) -> Path:
    """Return the pinned file's path in `folder`; AssetError if absent or another."""
    path = folder / package.file
    if not path.is_file():
        raise AssetError(f"{folder} has no {package.file}: put that file there")
    found = sha256(path)
    if found != package.sha256:
        raise AssetError(
            f"{path} is not the pinned file: SHA-256 {found}, "
            f"expected {package.sha256}; nothing of it was used"
        )
    return path


def _pip_command(package: Package, folder: Path) -> list[str]:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    name = package.requirement.partition("==")[0]
    only = "--only-binary" if package.kind == "wheel" else "--no-binary"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"]
    command += [only, name, "--dest", str(folder), "--requirement", str(requirements)]
    return [*command, "--disable-pip-version-check", "--no-input", "--quiet"]


def _follow(
    pip: subprocess.Popen, package: Package, folder: Path, progress: bool
) -> None:
    bar = tqdm(
        total=package.bytes,
        desc=package.requirement,
        unit="B",
        unit_scale=True,
        disable=not progress,
    )
    with bar:
        while pip.poll() is None:
            time.sleep(0.1)
            bar.update(max(_downloaded(package, folder) - bar.n, 0))
        if pip.returncode == 0:
            bar.update(package.bytes - bar.n)


def _downloaded(package: Package, folder: Path) -> int:
    largest = 0
    with suppress(FileNotFoundError):  # pip moves the file when it is whole
        for path in folder.glob(f"*/{package.file}"):
            largest = max(largest, path.stat().st_size)
    return largest


def _explain(package: Package, log: str) -> str:
    """Turn what pip said into one line: the cause, and what to do."""
    if "DO NOT MATCH THE HASHES" in log:
        return (
            f"the index's file for {package.requirement} is not the pinned one "
            f"(expected SHA-256 {package.sha256}); nothing of it was used"
        )
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    cause = errors[-1].removeprefix("ERROR: ") if errors else "it gave no reason"
    if any(sign in log for sign in _NO_CONNECTION):
        cause = "no connection to the package index"
    return (
        f"pip could not download {package.requirement}: {cause}. Connect and repeat, "
        f"or bring {package.file} in a folder and add `--from FOLDER`"
    )
