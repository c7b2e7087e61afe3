"""Assets: fetched once, checked against their pins, placed whole or not at all."""

import errno
import hashlib
import io
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from drcap import assets, cli
from drcap.assets import archives, manifest, packages
from drcap.errors import AssetError

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
    content = package.read_bytes()
    kind = "wheel" if package.suffix == ".whl" else "sdist"
    lines = [
        f'[{name}]\ndescription = "a toy"\nlicence = "CC0-1.0"\nbytes = 20\n',
        f'[{name}.package]\nrequirement = "toy-asset==1.0"\nkind = "{kind}"',
        f'file = "{package.name}"\nbytes = {len(content)}',
        f'sha256 = "{digest(content)}"\n',
    ]
    for target, (member, expected) in files.items():
        lines.append(f'[{name}.files."{target}"]\nmember = "{member}"')
        lines.append(f'sha256 = "{digest(expected)}"\n')
    return "\n".join(lines)


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """An empty cache, a folder `packages` with a wheel and an sdist, their manifest."""
    folder = tmp_path / "packages"
    wheel, sdist = make_wheel(folder), make_sdist(folder)
    files = {
        "words.txt": ("toy_asset/words.txt", MEMBERS["toy_asset/words.txt"]),
        "deep/two.bin": ("toy_asset/deep/two.bin", MEMBERS["toy_asset/deep/two.bin"]),
    }
    inside_sdist = {k: (f"toy_asset-1.0/{m}", c) for k, (m, c) in files.items()}
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "assets.toml")
    manifest.MANIFEST.write_text(
        manifest_entry("toy", wheel, files)
        + "\n"
        + manifest_entry("toy-source", sdist, inside_sdist)
    )
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return tmp_path / "home"


@pytest.fixture
def folder_of_packages(home) -> Path:
    return home.parent / "packages"


def placed(home: Path) -> list[str]:
    """Every file and folder of the cache but its lock, relative to the assets."""
    root = home / "assets"
    found = (path.relative_to(root).as_posix() for path in root.rglob("*"))
    return sorted(name for name in found if name != ".lock")


WHOLE = ["toy", "toy/asset.json", "toy/deep", "toy/deep/two.bin", "toy/words.txt"]


# --- fetching ---------------------------------------------------------------------


def test_pip_fetches_a_wheel_and_only_the_wanted_members_are_placed(home, capsys):
    assert assets.fetch(["toy"]) == ["toy"]
    assert placed(home) == WHOLE
    content = (assets.asset_path("toy") / "words.txt").read_bytes()
    assert content == MEMBERS["toy_asset/words.txt"]
    assert "toy-asset==1.0" in capsys.readouterr().err  # the progress bar


def test_pip_fetches_an_sdist_though_a_wheel_lies_beside_it(home):
    assert assets.fetch(["toy-source"], progress=False) == ["toy-source"]
    record = json.loads((home / "assets/toy-source/asset.json").read_text())
    assert record["package"]["file"] == SDIST


def test_the_record_names_source_licence_and_hashes(home, folder_of_packages):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    record = json.loads((home / "assets/toy/asset.json").read_text())
    assert record["licence"] == "CC0-1.0"
    assert record["package"]["sha256"] == digest(
        (folder_of_packages / WHEEL).read_bytes()
    )
    assert record["files"]["words.txt"] == {
        "bytes": 12,
        "sha256": digest(MEMBERS["toy_asset/words.txt"]),
    }


def test_everything_is_fetched_when_no_name_is_given(home, folder_of_packages):
    assert assets.fetch(from_dir=folder_of_packages) == ["toy", "toy-source"]


def test_a_second_fetch_does_not_call_pip(home, monkeypatch):
    assets.fetch(["toy"], progress=False)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("pip ran"))
    assert assets.fetch(["toy"]) == []


def test_a_folder_of_packages_stands_in_for_the_network(
    home, folder_of_packages, monkeypatch
):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("pip ran"))
    assert assets.fetch(["toy"], from_dir=folder_of_packages) == ["toy"]


def test_two_fetches_at_once_place_an_asset_once(home, folder_of_packages):
    fetched = []

    def fetch():
        fetched.extend(assets.fetch(["toy"], from_dir=folder_of_packages))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["toy"]
    assert placed(home) == WHOLE


def test_a_newly_pinned_version_is_fetched_again(home, folder_of_packages):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    words = b"a cat meows\n"
    wheel = make_wheel(folder_of_packages, {"toy_asset/words.txt": words})
    files = {"words.txt": ("toy_asset/words.txt", words)}
    manifest.MANIFEST.write_text(manifest_entry("toy", wheel, files))
    with pytest.raises(AssetError, match="another version.*drcap assets fetch toy"):
        assets.asset_path("toy")
    assert assets.fetch(["toy"], from_dir=folder_of_packages) == ["toy"]
    assert (assets.asset_path("toy") / "words.txt").read_bytes() == words


# --- failures that leave nothing behind -------------------------------------------


def test_pip_refuses_a_file_with_another_hash(home, folder_of_packages):
    make_wheel(folder_of_packages, {"toy_asset/words.txt": b"tampered"})
    with pytest.raises(AssetError, match="toy-asset==1.0 is not the pinned one"):
        assets.fetch(["toy"], progress=False)
    assert placed(home) == []


def test_a_local_file_with_another_hash_is_refused(home, folder_of_packages):
    make_wheel(folder_of_packages, {"toy_asset/words.txt": b"tampered"})
    with pytest.raises(AssetError, match=f"{WHEEL} is not the pinned file"):
        assets.fetch(["toy"], from_dir=folder_of_packages)
    assert placed(home) == []


def test_a_member_with_another_hash_is_refused(home, folder_of_packages):
    files = {"words.txt": ("toy_asset/words.txt", b"something else")}
    wheel = folder_of_packages / WHEEL
    manifest.MANIFEST.write_text(manifest_entry("toy", wheel, files))
    with pytest.raises(AssetError, match="words.txt in .* is not the pinned file"):
        assets.fetch(["toy"], from_dir=folder_of_packages)
    assert placed(home) == []


def test_a_local_folder_without_the_file_is_named(home, tmp_path):
    with pytest.raises(AssetError, match=f"{tmp_path} has no {WHEEL}"):
        assets.fetch(["toy"], from_dir=tmp_path)
    assert placed(home) == []


def test_without_a_connection_the_error_offers_the_other_way(home, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(AssetError, match=f"no connection.*{WHEEL}.*--from FOLDER"):
        assets.fetch(["toy"], progress=False)
    assert placed(home) == []


def test_a_failure_of_pip_is_told_by_its_last_line(home, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    with pytest.raises(AssetError, match="No matching distribution found for toy"):
        assets.fetch(["toy"], progress=False)
    assert placed(home) == []


def test_a_python_without_pip_is_told(home, tmp_path, monkeypatch):
    bare = tmp_path / "python"
    bare.write_text("#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n")
    bare.chmod(0o755)
    monkeypatch.setattr(packages.sys, "executable", str(bare))
    with pytest.raises(AssetError, match="toy-asset==1.0: No module named pip"):
        assets.fetch(["toy"], progress=False)


def test_too_little_free_space_is_found_before_the_download(home, monkeypatch):
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("pip ran"))
    usage = shutil.disk_usage(home.parent)._replace(free=10)
    monkeypatch.setattr(assets.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(AssetError, match="asset 'toy' needs .* MB .*DRCAP_HOME"):
        assets.fetch(["toy"])
    assert placed(home) == []


def test_a_disk_that_fills_up_is_an_asset_error(home, folder_of_packages, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assets, "extract", full)
    with pytest.raises(AssetError, match="No space left.*DRCAP_HOME"):
        assets.fetch(["toy"], from_dir=folder_of_packages)
    assert placed(home) == []


def test_a_cache_that_cannot_be_made_is_an_asset_error(home, folder_of_packages):
    home.write_text("a file where the folder should be")
    with pytest.raises(AssetError, match="cannot fetch into .*DRCAP_HOME"):
        assets.fetch(["toy"], from_dir=folder_of_packages)


def test_an_interrupted_download_ends_pip_and_leaves_nothing(home, monkeypatch):
    started = []

    def interrupt(pip, *_):
        started.append(pip)
        raise KeyboardInterrupt

    monkeypatch.setattr(packages, "_follow", interrupt)
    with pytest.raises(KeyboardInterrupt):
        assets.fetch(["toy"])
    assert started[0].returncode == -signal.SIGKILL
    assert placed(home) == []


def test_what_a_killed_fetch_leaves_is_no_asset_and_is_swept_away(
    home, folder_of_packages
):
    script = f"""
import pathlib, time
from drcap import assets
from drcap.assets import manifest
manifest.MANIFEST = pathlib.Path({str(manifest.MANIFEST)!r})
extract = assets.extract
def stuck(*arguments):
    extract(*arguments)
    print("extracted", flush=True)
    time.sleep(60)
assets.extract = stuck
assets.fetch(["toy"], from_dir={str(folder_of_packages)!r})
"""
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"extracted\n"
    child.kill()
    child.wait()
    child.stdout.close()
    with pytest.raises(AssetError, match="drcap assets fetch toy"):
        assets.asset_path("toy")
    assets.fetch(["toy"], from_dir=folder_of_packages)
    assert placed(home) == WHOLE


def test_a_failed_fetch_keeps_the_asset_that_was_there(home, folder_of_packages):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    make_wheel(folder_of_packages, {"toy_asset/words.txt": b"tampered"})
    with pytest.raises(AssetError):
        assets.fetch(["toy"], from_dir=folder_of_packages, force=True)
    assert placed(home) == WHOLE
    assert assets.verify(["toy"]) == {"toy": []}


# --- looking up and verifying -----------------------------------------------------


def test_a_missing_asset_is_named_with_the_command_that_fetches_it(home):
    with pytest.raises(AssetError, match="'toy' is not fetched.*assets fetch toy"):
        assets.asset_path("toy")


@pytest.mark.parametrize("call", [assets.fetch, assets.verify, assets.select])
def test_an_unknown_name_lists_the_known_ones(home, call):
    with pytest.raises(AssetError, match="unknown asset 'toi'.*toy, toy-source"):
        call(["toi"])


@pytest.mark.parametrize("record", ["", "{", "{}", "[]", '{"package": 1}'])
def test_a_damaged_record_is_found_and_mended(home, folder_of_packages, record):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    (home / "assets/toy/asset.json").write_text(record)
    with pytest.raises(AssetError, match="damaged .asset.json.*drcap assets fetch toy"):
        assets.asset_path("toy")
    assert assets.verify(["toy"]) == {"toy": ["asset.json is damaged"]}
    assert assets.fetch(["toy"], from_dir=folder_of_packages) == ["toy"]


def test_a_file_cut_short_is_found_without_hashing_and_fetched_again(
    home, folder_of_packages
):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    (home / "assets/toy/words.txt").write_bytes(b"a dog")
    with pytest.raises(AssetError, match="damaged .words.txt"):
        assets.asset_path("toy")
    assert assets.fetch(["toy"], from_dir=folder_of_packages) == ["toy"]
    assert assets.verify(["toy"]) == {"toy": []}


def test_verify_names_every_damaged_or_missing_file(home, folder_of_packages):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    (home / "assets/toy/words.txt").write_bytes(b"a dog BARKS\n")  # as long as before
    (home / "assets/toy/deep/two.bin").unlink()
    assert assets.verify() == {
        "toy": ["deep/two.bin is missing", "words.txt differs"],
        "toy-source": ["is not fetched"],
    }


def test_verify_trusts_the_manifest_more_than_the_record(home, folder_of_packages):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    folder = home / "assets/toy"
    record = json.loads((folder / "asset.json").read_text())
    (folder / "words.txt").write_bytes(b"a dog BARKS\n")
    record["files"]["words.txt"]["sha256"] = digest(b"a dog BARKS\n")
    (folder / "asset.json").write_text(json.dumps(record))
    assert assets.verify(["toy"]) == {"toy": ["words.txt differs"]}


def test_a_forced_fetch_mends_what_only_hashing_finds(home, folder_of_packages):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    (home / "assets/toy/words.txt").write_bytes(b"a dog BARKS\n")
    assert assets.fetch(["toy"], from_dir=folder_of_packages) == []
    assert assets.fetch(["toy"], from_dir=folder_of_packages, force=True) == ["toy"]
    assert assets.verify(["toy"]) == {"toy": []}


def test_a_model_is_an_asset_a_folder_or_a_hub_id(home, folder_of_packages, tmp_path):
    with pytest.raises(AssetError, match="drcap assets fetch toy"):
        assets.resolve_model("toy")
    assets.fetch(["toy"], from_dir=folder_of_packages)
    assert assets.resolve_model("toy") == str(home / "assets/toy")
    assert assets.resolve_model(str(tmp_path)) == str(tmp_path)
    assert assets.resolve_model("lmsys/vicuna-7b-v1.5") == "lmsys/vicuna-7b-v1.5"
    with pytest.raises(AssetError, match="no model folder at ./nowhere"):
        assets.resolve_model("./nowhere")


def test_the_shipped_manifest_is_pinned_throughout():
    known = assets.pinned()
    assert len(known) > 7
    for asset in known.values():
        assert "==" in asset.package.requirement
        assert asset.package.kind in ("wheel", "sdist")
        assert asset.bytes > 0 and asset.package.bytes > 0
        assert asset.pins.keys() == asset.files.keys()
        for pin in [asset.package.sha256, *asset.pins.values()]:
            assert len(bytes.fromhex(pin)) == 32
        assert asset.gguf is None or asset.gguf in asset.files


# --- optional assets, of single files ---------------------------------------------

WEIGHTS = b"weights of a detector"


@pytest.fixture
def optional(home, tmp_path) -> Path:
    """Two optional assets: one to be downloaded, one to be brought in this folder."""
    (tmp_path / "server.ckpt").write_bytes(WEIGHTS)
    entries = f"""
[toy-detector]
description = "a toy"
licence = "MIT"
bytes = 20
group = "extra"
by_hand = "put that file in a FOLDER"

[toy-detector.files."detector.ckpt"]
url = "{(tmp_path / "server.ckpt").as_uri()}"
sha256 = "{digest(WEIGHTS)}"

[toy-model]
description = "a toy"
licence = "MIT"
bytes = 20
group = "extra"
by_hand = "put model.txt of https://example.org in a FOLDER"

[toy-model.files."model.txt"]
holds = "a model"
"""
    with open(manifest.MANIFEST, "a") as stream:
        stream.write(entries)
    folder = tmp_path / "brought"
    (folder / "toy-model").mkdir(parents=True)
    (folder / "toy-model" / "model.txt").write_text("this is a model")
    return folder


def test_optional_assets_are_left_alone_until_they_are_named(
    optional, folder_of_packages
):
    required = ["toy", "toy-source"]
    assert list(assets.pinned()) == required
    assert assets.fetch(from_dir=folder_of_packages) == required
    assert assets.verify() == {name: [] for name in required}
    assert [asset.name for asset in assets.select(["extra", "toy", "toy-model"])] == [
        "toy-detector",
        "toy-model",
        "toy",
    ]


def test_what_cannot_be_downloaded_is_explained_after_the_rest_was_fetched(optional):
    with pytest.raises(
        AssetError,
        match="asset 'toy-model': model.txt is not downloaded: its SHA-256 is unknown. "
        "To bring it, put model.txt of https://example.org in a FOLDER, and run "
        "`drcap assets fetch extra --from FOLDER`",
    ):
        assets.fetch(["extra"], progress=False)
    assert (assets.asset_path("toy-detector") / "detector.ckpt").read_bytes() == WEIGHTS
    with pytest.raises(AssetError, match="'toy-model' is not fetched.*fetch extra`"):
        assets.asset_path("toy-model")


def test_a_brought_file_is_placed_and_its_hash_recorded(home, optional):
    assert assets.fetch(["toy-model"], from_dir=optional) == ["toy-model"]
    record = json.loads((home / "assets/toy-model/asset.json").read_text())
    assert record["package"] is None
    assert record["files"]["model.txt"]["sha256"] == digest(b"this is a model")
    assert assets.fetch(["toy-model"]) == []
    assert assets.verify()["toy-model"] == []
    (home / "assets/toy-model/model.txt").write_text("this is A model")
    assert assets.verify()["toy-model"] == ["model.txt differs"]


def test_a_newly_pinned_single_file_is_fetched_again(optional, tmp_path):
    assets.fetch(["toy-detector"], progress=False)
    newer = b"newer weights"
    (tmp_path / "server.ckpt").write_bytes(newer)
    text = manifest.MANIFEST.read_text().replace(digest(WEIGHTS), digest(newer))
    manifest.MANIFEST.write_text(text)
    with pytest.raises(AssetError, match="'toy-detector' is of another version"):
        assets.asset_path("toy-detector")
    assert assets.fetch(["toy-detector"], progress=False) == ["toy-detector"]


def test_a_failed_single_file_leaves_nothing(home, optional, tmp_path):
    (tmp_path / "server.ckpt").write_bytes(b"tampered")
    with pytest.raises(AssetError, match="server.ckpt is not the pinned file"):
        assets.fetch(["toy-detector"], progress=False)
    assert placed(home) == []


def test_the_shipped_optional_assets_are_pinned_or_looked_into():
    known = assets.pinned(optional=True)
    chosen = {asset.name: asset for asset in assets.select(["metrics"])}
    assert known == assets.pinned() | chosen
    assert set(chosen) == {
        "spice-corenlp",
        "spice-rhino",
        "fense-echecker",
        "fense-tinybert",
    }
    assert chosen["fense-echecker"].source == "github.com"
    for asset in chosen.values():
        assert asset.by_hand and "FOLDER" in asset.by_hand
        for file in asset.files.values():
            assert ("sha256" in file) != ("holds" in file)


# --- archives ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil", "a/../../evil", "/evil", "C:\\evil", "a\\..\\..\\evil", ""]
)
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({name or "x": b"evil", "good": b"good"}))
    folder = tmp_path / "folder"
    for member, target in ((name, "good"), ("good", name)):
        with pytest.raises(AssetError, match="leads out of its folder"):
            archives.extract(archive, member, folder, target)
    assert sorted(tmp_path.iterdir()) == [archive]


def test_evil_neighbours_of_a_wanted_member_are_never_unpacked(tmp_path):
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"../evil": b"evil", "/evil": b"", "good": b"good"}))
    archives.extract(archive, "good", tmp_path / "folder", "good")
    found = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(found) == ["evil.zip", "good"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_member_that_is_not_a_plain_file_is_refused(tmp_path, kind):
    archive = tmp_path / "evil.tar.gz"
    link = tarfile.TarInfo("words.txt")
    link.type, link.linkname = kind, "/etc/passwd"
    with tarfile.open(archive, "w:gz") as opened:
        opened.addfile(link)
    with pytest.raises(AssetError, match="refused 'words.txt'"):
        archives.extract(archive, "words.txt", tmp_path / "folder", "words.txt")


def test_a_zip_member_that_is_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("words.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(AssetError, match="refused 'words.txt'"):
        archives.extract(tmp_path / "evil.zip", "words.txt", tmp_path, "words.txt")


def test_a_member_of_an_archive_inside_the_archive_is_found(tmp_path):
    inner = zipped({"folder/model.onnx": b"weights"})
    (tmp_path / "outer.zip").write_bytes(zipped({"data/model.zip": inner}))
    member = "data/model.zip!folder/model.onnx"
    path = archives.extract(tmp_path / "outer.zip", member, tmp_path, "model.onnx")
    assert path.read_bytes() == b"weights"


def test_a_nested_name_that_leaves_the_folder_is_refused(tmp_path):
    (tmp_path / "outer.zip").write_bytes(zipped({"a.zip": zipped({"../b": b"evil"})}))
    with pytest.raises(AssetError, match="leads out of its folder"):
        archives.extract(tmp_path / "outer.zip", "a.zip!../b", tmp_path, "b")


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_an_absent_member_is_named(tmp_path, make):
    archive = make(tmp_path / "packages")
    with pytest.raises(AssetError, match=f"{archive.name} has no member 'absent'"):
        archives.extract(archive, "absent", tmp_path, "absent")


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_a_truncated_archive_is_named(tmp_path, make):
    archive = make(tmp_path / "packages")
    archive.write_bytes(archive.read_bytes()[:-60])
    prefix = "" if make is make_wheel else "toy_asset-1.0/"
    with pytest.raises(AssetError, match=f"{archive.name} is not a whole archive"):
        archives.extract(archive, f"{prefix}toy_asset/words.txt", tmp_path, "words.txt")


# --- the command ------------------------------------------------------------------


def run(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["drcap", "assets", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code or 0


def test_the_command_fetches_lists_and_verifies(
    home, folder_of_packages, monkeypatch, capsys
):
    assert run(monkeypatch, "fetch", "toy", "--from", str(folder_of_packages)) == 0
    assert f"toy: {home}/assets/toy" in capsys.readouterr().out
    assert run(monkeypatch, "fetch", "toy") == 0
    assert "nothing to fetch" in capsys.readouterr().out
    assert run(monkeypatch, "verify", "toy") == 0
    assert "toy: intact" in capsys.readouterr().out
    assert run(monkeypatch, "list") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["toy", "0.0", "MB", "CC0-1.0", "yes", "toy-asset==1.0"] in rows
    assert run(monkeypatch, "list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["present"]) for row in listed] == [
        ("toy", True),
        ("toy-source", False),
    ]


def test_the_command_lists_optional_assets_with_their_group(
    optional, monkeypatch, capsys
):
    assert run(monkeypatch, "fetch", "extra", "--from", str(optional)) == 2
    assert f"detector.ckpt is not in {optional}. To bring" in capsys.readouterr().err
    assert run(monkeypatch, "list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {name: (row["group"], row["present"]) for name, row in rows.items()} == {
        "toy": (None, False),
        "toy-source": (None, False),
        "toy-detector": ("extra", False),
        "toy-model": ("extra", True),
    }
    assert rows["toy-model"]["source"] == "by hand"


def test_verify_ends_in_two_and_names_each_bad_asset(
    home, folder_of_packages, monkeypatch, capsys
):
    assets.fetch(["toy"], from_dir=folder_of_packages)
    (home / "assets/toy/words.txt").write_bytes(b"a dog BARKS\n")
    assert run(monkeypatch, "verify") == 2
    printed = capsys.readouterr()
    assert "toy: words.txt differs" in printed.out
    assert "toy-source: is not fetched" in printed.out
    assert "drcap assets fetch --force toy toy-source" in printed.err


def test_an_unknown_name_is_one_line_and_ends_in_two(home, monkeypatch, capsys):
    assert run(monkeypatch, "fetch", "toi") == 2
    assert capsys.readouterr().err == (
        "drcap: unknown asset 'toi': known are toy, toy-source\n"
    )
