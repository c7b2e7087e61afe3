"""Tiny packages, and the manifest's entries that pin them."""

import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

WHEEL = "toy_asset-1.0-py3-none-any.whl"
SDIST = "toy_asset-1.0.tar.gz"
MEMBERS = {"toy_asset/words.txt": b"a dog barks\n", "toy_asset/deep/two.bin": b"\0\1"}
# A build backend inside the sdist, so that pip needs no other package to read it.
BACKEND = """
import pathlib
def prepare_metadata_for_build_wheel(directory, config_settings=None):
    info = pathlib.Path(directory) / "toy_asset-1.0.dist-info"
    info.mkdir()
    text = "Metadata-Version: 2.1\\nName: toy-asset\\nVersion: 1.0\\n"
    (info / "METADATA").write_text(text)
    return info.name
"""


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def make_wheel(folder: Path, members: dict[str, bytes] = MEMBERS) -> Path:
    info = "toy_asset-1.0.dist-info"
    metadata = {
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy-asset\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    folder.mkdir(exist_ok=True)
    (folder / WHEEL).write_bytes(zipped({**members, **metadata}))
    return folder / WHEEL


def make_sdist(folder: Path) -> Path:
    build = (
        b'[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = ["."]\n'
    )
    members = {**MEMBERS, "pyproject.toml": build, "b.py": BACKEND.encode()}
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / SDIST, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"toy_asset-1.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return folder / SDIST


def manifest_entry(
    name: str, package: Path, files: dict[str, tuple[str, bytes]]
) -> str:
    """Pin `files` of `package`: path in the asset -> (member, the content expected)."""
    lines = [
        f'[{name}]\ndescription = "a toy"\nlicence = "CC0-1.0"\nbytes = 20\n',
        f'[{name}.package]\nrequirement = "toy-asset==1.0"\nfile = "{package.name}"',
        f'sha256 = "{digest(package.read_bytes())}"\n',
    ]
    for target, (member, expected) in files.items():
        lines.append(f'[{name}.files."{target}"]\nmember = "{member}"')
        lines.append(f'sha256 = "{digest(expected)}"\n')
    return "\n".join(lines)
