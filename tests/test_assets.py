"""Assets: fetched once, checked against their pins, placed whole or not at all."""

import errno
import json
import shutil
import subprocess
import sys
import threading

import pytest
from doubles_assets import (
    MEMBERS,
    SDIST,
    WHEEL,
    digest,
    make_sdist,
    make_wheel,
    manifest_entry,
)

from drcap import assets
from drcap.assets import manifest, sources
from drcap.cli import machine
from drcap.cli.__main__ import main
from drcap.errors import AssetError


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, a folder `packages` with a wheel and an sdist, their manifest."""
    folder = tmp_path / "packages"
    wheel, sdist = make_wheel(folder), make_sdist(folder)
    files = {
        name: (f"toy_asset/{name}", MEMBERS[f"toy_asset/{name}"]) for name in FILES
    }
    inside_sdist = {k: (f"toy_asset-1.0/{m}", c) for k, (m, c) in files.items()}
    monkeypatch.setattr(manifest, "MANIFEST", tmp_path / "assets.toml")
    entries = [("toy", wheel, files), ("toy-source", sdist, inside_sdist)]
    text = "\n".join(manifest_entry(*entry) for entry in entries)
    manifest.MANIFEST.write_text(text)
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def packages(home):
    """The folder that stands in for the package index."""
    return home.parent / "packages"


FILES = ("words.txt", "deep/two.bin")
WHOLE = ["toy", "toy/asset.json", "toy/deep", "toy/deep/two.bin", "toy/words.txt"]


def placed(home):
    """Every file and folder of the cache but its lock, relative to the assets."""
    root = home / "assets"
    names = (path.relative_to(root).as_posix() for path in root.rglob("*"))
    return sorted(name for name in names if name != ".lock")


# --- fetching -------------------------------------------------------------------------


def test_everything_required_is_fetched_once_and_recorded(home, packages, monkeypatch):
    assert assets.fetch(from_dir=packages) == ["toy", "toy-source"]
    assert [name for name in placed(home) if name in WHOLE] == WHOLE
    words = assets.asset_path("toy") / "words.txt"
    assert words.read_bytes() == MEMBERS["toy_asset/words.txt"]
    record = json.loads((home / "assets/toy/asset.json").read_text())
    assert record["licence"] == "CC0-1.0"
    assert record["package"]["sha256"] == digest((packages / WHEEL).read_bytes())
    assert record["files"]["words.txt"] == {
        "bytes": 12,
        "sha256": digest(MEMBERS["toy_asset/words.txt"]),
    }
    record = json.loads((home / "assets/toy-source/asset.json").read_text())
    assert record["package"]["file"] == SDIST
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip ran"))
    assert assets.fetch() == []


def test_two_fetches_at_once_place_an_asset_once(home, packages):
    fetched = []

    def fetch():
        fetched.extend(assets.fetch(["toy"], from_dir=packages))

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert fetched == ["toy"]
    assert placed(home) == WHOLE


def test_a_newly_pinned_version_is_fetched_again(home, packages):
    assets.fetch(["toy"], from_dir=packages)
    words = b"a cat meows\n"
    wheel = make_wheel(packages, {"toy_asset/words.txt": words})
    files = {"words.txt": ("toy_asset/words.txt", words)}
    manifest.MANIFEST.write_text(manifest_entry("toy", wheel, files))
    with pytest.raises(AssetError, match="another version.*drcap assets fetch toy"):
        assets.asset_path("toy")
    assert assets.fetch(["toy"], from_dir=packages) == ["toy"]
    assert (assets.asset_path("toy") / "words.txt").read_bytes() == words


# --- failures that leave nothing behind -----------------------------------------------


def another_wheel(packages, monkeypatch):
    make_wheel(packages, {"toy_asset/words.txt": b"tampered"})


def another_member(packages, monkeypatch):
    files = {"words.txt": ("toy_asset/words.txt", b"something else")}
    manifest.MANIFEST.write_text(manifest_entry("toy", packages / WHEEL, files))


def no_wheel(packages, monkeypatch):
    (packages / WHEEL).unlink()


def full_disk(packages, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(assets, "place", full)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (another_wheel, f"{WHEEL} is not the pinned file.*nothing of it was used"),
        (another_member, "words.txt in .* is not the pinned file"),
        (no_wheel, f"packages has no {WHEEL}: put that file there"),
        (full_disk, "cannot fetch into .*No space left.*DRCAP_HOME"),
    ],
)
def test_a_failed_fetch_leaves_what_was_there(
    home, packages, monkeypatch, fault, message
):
    assets.fetch(["toy-source"], from_dir=packages)
    before = placed(home)
    fault(packages, monkeypatch)
    for force in (False, True):
        with pytest.raises(AssetError, match=message):
            assets.fetch(["toy"], from_dir=packages, force=force)
        assert placed(home) == before


def test_a_cache_that_cannot_be_made_is_an_asset_error(home, packages):
    home.write_text("a file where the folder should be")
    with pytest.raises(AssetError, match="cannot fetch into .*DRCAP_HOME"):
        assets.fetch(["toy"], from_dir=packages)


def test_a_killed_fetch_leaves_no_asset_and_is_swept_away(home, packages, monkeypatch):
    def killed(asset, folder, *_):
        sources.extract(packages / WHEEL, "toy_asset/words.txt", folder)
        shutil.copytree(folder.parent, folder.parent.with_name(".writing-killed"))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(assets, "place", killed)
        with pytest.raises(KeyboardInterrupt):
            assets.fetch(["toy"])
    assert ".writing-killed" in placed(home)
    with pytest.raises(AssetError, match="'toy' is not fetched: .*assets fetch toy"):
        assets.asset_path("toy")
    assets.fetch(["toy"], from_dir=packages)
    assert placed(home) == WHOLE


# --- looking up, and mending ----------------------------------------------------------


@pytest.mark.parametrize("call", [assets.fetch, assets.select])
def test_an_unknown_name_lists_the_known_ones(home, call):
    with pytest.raises(AssetError, match="unknown asset 'toi'.*toy, toy-source"):
        call(["toi"])


@pytest.mark.parametrize("record", ["", "{", "{}", "[]", '{"package": 1}'])
def test_a_damaged_record_is_named_and_mended(home, packages, record):
    assets.fetch(["toy"], from_dir=packages)
    (home / "assets/toy/asset.json").write_text(record)
    with pytest.raises(AssetError, match="damaged .asset.json.*drcap assets fetch toy"):
        assets.asset_path("toy")
    assert assets.fetch(["toy"], from_dir=packages) == ["toy"]


def test_a_file_cut_short_is_noticed_without_hashing_and_fetched_again(home, packages):
    assets.fetch(["toy"], from_dir=packages)
    (home / "assets/toy/words.txt").write_bytes(b"a dog")
    with pytest.raises(AssetError, match="damaged .words.txt"):
        assets.asset_path("toy")
    assert assets.fetch(["toy"], from_dir=packages) == ["toy"]
    assert assets.fetch(["toy"]) == []


def test_fetch_hashes_every_file_and_mends_them(home, packages):
    assets.fetch(["toy"], from_dir=packages)
    folder = home / "assets/toy"
    (folder / "words.txt").write_bytes(b"a dog BARKS\n")  # as long as before
    record = json.loads((folder / "asset.json").read_text())
    record["files"]["words.txt"]["sha256"] = digest(b"a dog BARKS\n")
    (folder / "asset.json").write_text(json.dumps(record))  # outranked by the pins
    assert assets.asset_path("toy") == folder
    assert assets.fetch(["toy"], from_dir=packages) == ["toy"]
    assert (folder / "words.txt").read_bytes() == MEMBERS["toy_asset/words.txt"]
    assert assets.fetch(["toy"]) == []
    assert assets.fetch(["toy"], from_dir=packages, force=True) == ["toy"]


def test_a_model_is_an_asset_a_folder_or_a_hub_id(home, packages, tmp_path):
    with pytest.raises(AssetError, match="drcap assets fetch toy"):
        assets.resolve_model("toy")
    assets.fetch(["toy"], from_dir=packages)
    assert assets.resolve_model("toy") == str(home / "assets/toy")
    assert assets.resolve_model(str(tmp_path)) == str(tmp_path)
    assert assets.resolve_model("lmsys/vicuna-7b-v1.5") == "lmsys/vicuna-7b-v1.5"
    with pytest.raises(AssetError, match="no model folder at ./nowhere"):
        assets.resolve_model("./nowhere")


def test_the_shipped_manifest_is_pinned_throughout():
    required = assets.select()
    assert len(required) > 6
    for asset in required:
        assert "==" in asset.package.requirement
        assert asset.package.file.endswith((".whl", ".tar.gz")) and asset.bytes > 0
        assert asset.pins.keys() == asset.files.keys()
        for pin in [asset.package.sha256, *asset.pins.values()]:
            assert len(bytes.fromhex(pin)) == 32
        assert asset.gguf is None or asset.gguf in asset.files


def test_the_shipped_optional_assets_are_pinned_or_looked_into():
    chosen = {asset.name: asset for asset in assets.select(["metrics"])}
    assert {*assets.pinned()} == {asset.name for asset in assets.select()} | {*chosen}
    assert assets.select(["spice", "judge", "fense"]) == list(chosen.values())
    assert chosen["fense-echecker"].source == "github.com"
    assert chosen["spice-corenlp"].source == "edu.stanford.nlp:stanford-corenlp:3.6.0"
    models = chosen["spice-corenlp"].pins["stanford-corenlp-3.6.0-models.jar"]
    for digest_, pinned in {
        "d285157b" + 50 * "0" + "b9c9bd": True,
        "e97c73e278515a49d74b2e7c0849c303509c1fabc221aee79c2159779d8c4355": True,
        "e97c73e2" + 48 * "0" + "9d8c4355": False,
    }.items():
        assert manifest.is_pinned(digest_, models) == pinned
    for asset in chosen.values():
        assert asset.parts or "FOLDER" in asset.by_hand
        for file in asset.files.values():
            assert ("sha256" in file) != ("holds" in file)


# --- optional assets ------------------------------------------------------------------


@pytest.fixture
def optional(home, tmp_path):
    """Two optional assets: a pinned one, and one that must hold a text."""
    entries = f"""
[toy-detector]
description = "a toy"
licence = "MIT"
bytes = 20
group = "extra"
by_hand = "put that file in a FOLDER"

[toy-detector.files."detector.ckpt"]
url = "http://127.0.0.1:9/detector.ckpt"
sha256 = "{digest(b"weights")}"

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


def test_optional_assets_are_left_alone_until_they_are_named(optional, packages):
    required = ["toy", "toy-source"]
    assert [asset.name for asset in assets.select()] == required
    assert assets.fetch(from_dir=packages) == required
    chosen = [asset.name for asset in assets.select(["extra", "toy", "toy-model"])]
    assert chosen == ["toy-detector", "toy-model", "toy"]


def test_what_a_folder_lacks_is_named_a_line_each_and_the_rest_brought(
    home, optional, capsys
):
    message = (
        f"asset 'toy-detector': detector.ckpt is not in {optional}. To bring it, put "
        "that file in a FOLDER, and run `drcap assets fetch extra --from FOLDER`"
    )
    with pytest.raises(AssetError) as raised:
        assets.fetch(["extra", "toy"], from_dir=optional)
    assert str(raised.value).splitlines() == [
        message,
        f"{optional} has no {WHEEL}: put that file there",
    ]
    assert capsys.readouterr().err == "toy-model: licence MIT\n"
    record = json.loads((home / "assets/toy-model/asset.json").read_text())
    assert record["package"] is None
    assert record["files"]["model.txt"]["sha256"] == digest(b"this is a model")
    assert assets.fetch(["toy-model"]) == []
    (home / "assets/toy-model/model.txt").write_text("this is A model")
    asset = assets.pinned()["toy-model"]
    assert assets.problem(asset) is None
    assert assets.problem(asset, contents=True) == "is damaged (model.txt)"
    with pytest.raises(AssetError, match="'toy-detector' is not fetched.*fetch extra`"):
        assets.asset_path("toy-detector")


def test_a_newly_pinned_single_file_is_fetched_again(optional):
    for content in (b"weights", b"newer weights"):
        (optional / "detector.ckpt").write_bytes(content)
        text = manifest.MANIFEST.read_text()
        text = text.replace(digest(b"weights"), digest(content))
        manifest.MANIFEST.write_text(text)
        fetched = assets.fetch(["toy-detector"], from_dir=optional)
        assert fetched == ["toy-detector"]


# --- the command ----------------------------------------------------------------------


def test_the_command_fetches_and_lists(home, packages, optional, monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["drcap", "assets", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    code, out, _ = run("fetch", "toy", "--from", str(packages))
    assert code == 0 and f"toy: {home}/assets/toy" in out
    assert "nothing to fetch" in run("fetch", "toy")[1]
    rows = {line.split()[0]: line for line in run("list")[1].splitlines()}
    for fact in ("0.0 MB", "CC0-1.0", "yes", "toy-asset==1.0"):
        assert fact in rows["toy"]
    listed = {row["name"]: row for row in json.loads(run("list", "--json")[1])}
    assert [row["present"] for row in listed.values()] == [True, False, False, False]
    assert listed["toy-model"]["group"] == "extra"
    assert listed["toy-model"]["source"] == "by hand"
    monkeypatch.setattr(machine, "_default_datastore", lambda: 7)
    assert "captions encoded: 7" in run("fetch", "--from", str(packages))[1]
    assert "encoded" not in run("fetch")[1]
    code, _, error = run("fetch", "toi")
    assert code == 2 and error.startswith("drcap: unknown asset 'toi': known are toy")
