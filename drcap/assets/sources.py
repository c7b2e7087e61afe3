"""How an asset's files come into its folder: by pip, from an address, or from a disk.

A package is downloaded with pip's configuration and never installed. A file whose
SHA-256 is known is compared with it before use. A single file whose SHA-256 is unknown
is never downloaded: the user brings it, and it is checked for what it must hold.
"""

import io
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
import zlib
from contextlib import redirect_stderr, suppress
from pathlib import Path

from drcap.assets.manifest import Asset, Package
from drcap.atomic import sha256
from drcap.environment import hush
from drcap.errors import AssetError

# what zipfile and tarfile raise: no such member, an unsafe one, a damaged archive
BAD_ARCHIVE = (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error)


def place(asset: Asset, folder: Path, from_dir: Path | None, progress: bool) -> None:
    """Put an asset's files into `folder`, an empty folder in one that is dropped later.

    from_dir : a folder with the package's file or the single files, not the network
    Raises AssetError: no connection, no such file, or another file than pinned.
    """
    if asset.package:
        _place_package(asset, folder, from_dir, progress)
        return
    brought = [Path(from_dir) / asset.name, Path(from_dir)] if from_dir else []
    for name, source in asset.files.items():
        try:
            _place_file(name, source, folder / name, brought, progress)
        except AssetError as error:
            command = f"drcap assets fetch {asset.group or asset.name} --from FOLDER"
            raise AssetError(
                f"asset '{asset.name}': {error}. To bring it, {asset.by_hand}, "
                f"and run `{command}`"
            ) from error


# --- packages -------------------------------------------------------------------------


def _place_package(
    asset: Asset, folder: Path, from_dir: Path | None, progress: bool
) -> None:
    archive = _archive(asset.package, folder.parent, from_dir, progress)
    for name, source in asset.files.items():
        path = _extract(archive, source["member"], folder.parent / "members")
        _check_pin(f"{name} in {archive.name}", path, source["sha256"])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(folder / name)
    if asset.gguf:
        if progress:
            print(f"{asset.name}: converting, about 20 s", file=sys.stderr)
        convert(folder / asset.gguf, folder)
        (folder / asset.gguf).unlink()


def _archive(
    package: Package, scratch: Path, from_dir: Path | None, progress: bool
) -> Path:
    """Return the path of the package's file, brought or downloaded, checked."""
    if from_dir is None:
        _download_package(package, scratch, progress)
    path = (scratch if from_dir is None else Path(from_dir)) / package.file
    if not path.is_file():
        raise AssetError(f"{path.parent} has no {package.file}: put that file there")
    _check_pin(str(path), path, package.sha256)
    return path


def _download_package(package: Package, scratch: Path, progress: bool) -> None:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    name = package.requirement.partition("==")[0]
    only = "--only-binary" if package.kind == "wheel" else "--no-binary"
    pip = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
            *(only, name, "--dest", str(scratch), "--requirement", str(requirements)),
            *("--disable-pip-version-check", "--no-input"),
            *([] if progress else ["--quiet"]),
        ],
        stdout=2,  # pip's progress, on our standard error
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env={**os.environ, "TMPDIR": str(scratch)},  # on the disk that was looked at
    )
    if pip.returncode:
        raise AssetError(_explain(package, pip.stderr))


def _explain(package: Package, log: str) -> str:
    """Turn pip's messages into one line: the cause, and what to do."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")] or lines
    cause = errors[-1].removeprefix("ERROR: ") if errors else "it gave no reason"
    if "connection broken" in log or "ConnectionError" in log:
        cause = "no connection to the package index"
    return (
        f"pip could not download {package.requirement}: {cause}. Connect and repeat, "
        f"or bring {package.file} in a folder and add `--from FOLDER`"
    )


def _extract(archive: Path, member: str, folder: Path) -> Path:
    """Extract one member of a zip or tar archive below `folder`; return its path.

    zipfile and tarfile refuse paths and links that leave the folder. "a.zip!b" is the
    member b of the archive a inside the archive.
    """
    outer, _, inner = member.partition("!")
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                path = Path(opened.extract(outer, folder))
        else:
            with tarfile.open(archive) as opened:
                opened.extract(outer, folder, filter="data")
                path = folder / outer
    except BAD_ARCHIVE as error:
        raise AssetError(f"{archive.name}: cannot extract {outer} ({error})") from error
    return _extract(path, inner, folder) if inner else path


def convert(gguf: Path, folder: Path) -> None:
    """Write a GGUF language model to `folder`: bfloat16 safetensors, and its tokenizer.

    Reading a GGUF takes some twenty seconds each time; the folder loads in one.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hush()
    with redirect_stderr(io.StringIO()):  # a bar for each tensor
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
        quantised = AutoModelForCausalLM.from_pretrained(
            gguf.parent, gguf_file=gguf.name, dtype=torch.float32
        )
        config = quantised.config
        # a model read from a GGUF refuses to be saved: a fresh one takes its weights
        del config.quantization_config
        config._name_or_path = ""
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
        model.load_state_dict(quantised.state_dict())
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # written readable by its owner alone


# --- single files ---------------------------------------------------------------------


def _place_file(
    name: str, source: dict, target: Path, brought: list[Path], progress: bool
) -> None:
    """Put one file at `target`: brought, else the system's, else downloaded if pinned.

    source : url, sha256, holds and system, as assets.toml explains them
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    candidates = [folder / name for folder in brought]
    candidates += [Path(source["system"])] if "system" in source else []
    origin = next((path for path in candidates if path.is_file()), None)
    if origin:
        shutil.copyfile(origin, target)
    elif "url" in source and "sha256" in source and not brought:
        origin = source["url"]
        _download(origin, target, progress)
    else:
        where = f"in {brought[-1]}" if brought else "downloaded: its SHA-256 is unknown"
        raise AssetError(f"{name} is not {where}")
    if "sha256" in source:
        _check_pin(str(origin), target, source["sha256"])
    if "holds" in source and not _holds(target, source["holds"]):
        raise AssetError(
            f"{origin} is not the file wanted: {source['holds']} is not in it"
        )


def _download(url: str, target: Path, progress: bool) -> None:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    try:
        pooch.retrieve(url, None, target.name, target.parent, progressbar=progress)
    except (OSError, ValueError) as error:  # no answer; no address
        raise AssetError(f"{url} cannot be downloaded ({error})") from error


def _holds(path: Path, wanted: str) -> bool:
    """Tell whether `wanted` is a jar's member, or in another file's first MiB."""
    if path.suffix == ".jar":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return wanted in archive.namelist()
        return False
    with open(path, "rb") as stream:
        return wanted.encode() in stream.read(1 << 20)


def _check_pin(name: str, path: Path, expected: str) -> None:
    if (actual := sha256(path)) != expected:
        raise AssetError(
            f"{name} is not the pinned file: SHA-256 {actual}, expected {expected}; "
            "nothing of it was used"
        )
