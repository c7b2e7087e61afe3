"""Single files of assets: brought, the system's, by Maven, from an address."""

import functools
import hashlib
import http.server
import socket
import stat
import sys
import tarfile
import threading
import time
import zipfile

import pytest
from doubles_assets import make_sdist, make_wheel, zipped

from drcap.assets import downloads
from drcap.errors import AssetError

# --- archives -------------------------------------------------------------------------


def test_evil_neighbours_of_a_wanted_member_are_never_unpacked(tmp_path):
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"../evil": b"evil", "/evil": b"", "good": b"good"}))
    path = downloads.extract(archive, "good", tmp_path / "folder")
    assert path.read_bytes() == b"good"
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(names) == ["evil.zip", "good"]


def test_no_name_of_a_member_leads_out_of_the_folder(tmp_path):
    folder = tmp_path / "deep" / "folder"
    (tmp_path / "evil.zip").write_bytes(zipped({"../../evil": b"evil", "/evil": b""}))
    for name in ("../../evil", "/evil"):
        path = downloads.extract(tmp_path / "evil.zip", name, folder)
        assert path.is_relative_to(folder)
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    with pytest.raises(AssetError, match="evil.tar: cannot extract .*outside"):
        downloads.extract(tmp_path / "evil.tar", "../../evil", folder)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_member_that_is_a_link_or_a_device_is_refused(tmp_path, kind):
    link = tarfile.TarInfo("words.txt")
    link.type, link.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.addfile(link)
    with pytest.raises(AssetError, match="cannot extract words.txt"):
        downloads.extract(tmp_path / "evil.tar.gz", "words.txt", tmp_path / "folder")


def test_a_zip_member_that_is_a_link_is_placed_as_a_file(tmp_path):
    link = zipfile.ZipInfo("words.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    path = downloads.extract(tmp_path / "evil.zip", "words.txt", tmp_path / "folder")
    assert not path.is_symlink() and path.read_text() == "/etc/passwd"


def test_a_member_of_an_archive_inside_the_archive_is_extracted(tmp_path):
    inner = zipped({"folder/model.onnx": b"weights"})
    (tmp_path / "outer.zip").write_bytes(zipped({"data/model.zip": inner}))
    member = "data/model.zip!folder/model.onnx"
    path = downloads.extract(tmp_path / "outer.zip", member, tmp_path / "folder")
    assert path.read_bytes() == b"weights"


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_an_absent_member_and_a_truncated_archive_are_named(tmp_path, make):
    archive = make(tmp_path / "packages")
    with pytest.raises(AssetError, match=f"{archive.name}: cannot extract absent"):
        downloads.extract(archive, "absent", tmp_path)
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(AssetError, match=f"{archive.name}: cannot extract"):
        downloads.extract(archive, "toy_asset/words.txt", tmp_path)


CONTENT = b"weights of a detector"
PIN = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def brought(tmp_path):
    folder = tmp_path / "brought"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "weights.ckpt").write_bytes(CONTENT)
    with zipfile.ZipFile(folder / "models.jar", "w") as jar:
        jar.writestr("edu/parser.gz", b"grammar")
    return folder


@pytest.fixture
def server(brought, monkeypatch):
    """The address of a server of what was brought."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(Quiet, directory=brought)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def put(tmp_path, monkeypatch):
    """Place a file in an asset's folder; return its path there."""

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))  # no mvn of the machine's
    monkeypatch.setattr(downloads, "silent", set())

    def put(name, source, folders=()):
        target, scratch = tmp_path / "new" / "asset" / name, tmp_path / "new"
        downloads.place_file(name, source, target, [*folders], scratch)
        return target

    return put


def test_a_pinned_file_is_downloaded_and_compared(server, put, capsys):
    url = f"{server}/sub/weights.ckpt"
    path = put("deep/weights.ckpt", {"url": url, "sha256": PIN})
    assert path.read_bytes() == CONTENT
    assert "100%" in capsys.readouterr().err
    url = f"{server}/models.jar"
    with pytest.raises(AssetError, match=f"{url} is not the pinned .*SHA-256 .*{PIN}"):
        put("weights.ckpt", {"url": url, "sha256": PIN})


def test_an_address_that_does_not_answer_is_named(server, put):
    for url, reason in {
        f"{server}/absent": f"{server}/absent cannot be downloaded .*404",
        "http://127.0.0.1:9/x": "127.0.0.1:9 does not answer",
        "nonsense://x": "x does not answer",
    }.items():
        with pytest.raises(AssetError, match=f"weights.* is not downloaded: {reason}"):
            put("weights.ckpt", {"url": url, "sha256": PIN})


def test_a_file_of_unknown_hash_is_never_downloaded(server, put):
    source = {"url": f"{server}/models.jar", "holds": "edu/parser.gz"}
    with pytest.raises(AssetError, match="models.jar is not downloaded: its SHA"):
        put("models.jar", source)


def test_a_folder_stands_in_for_the_network(brought, put):
    source = {"url": "http://127.0.0.1:9/x", "sha256": PIN}
    path = put("weights.ckpt", source, [brought, brought / "sub"])
    assert path.read_bytes() == CONTENT
    with pytest.raises(AssetError, match=f"weights.ckpt is not in {brought}"):
        put("weights.ckpt", source, [brought])
    (brought / "weights.ckpt").write_bytes(b"other weights")
    with pytest.raises(AssetError, match=f"{brought}/weights.ckpt is not the pinned"):
        put("weights.ckpt", source, [brought])


def test_a_file_of_unknown_hash_must_hold_what_is_needed_of_it(brought, put):
    (brought / "config.json").write_text('{"num_hidden_layers": 6}')
    for name, text, other in (
        ("models.jar", "edu/parser.gz", "edu/tagger.gz"),
        ("config.json", '"num_hidden_layers": 6', "12"),
    ):
        assert put(name, {"holds": text}, [brought]).exists()
        with pytest.raises(
            AssetError, match=f"{name} is not the file.*: {other} is no"
        ):
            put(name, {"holds": other}, [brought])
    jar = brought / "models.jar"
    jar.write_bytes(jar.read_bytes()[:-30])  # cut short, the name still in it
    assert b"edu/parser.gz" in jar.read_bytes()
    with pytest.raises(AssetError, match="edu/parser.gz is not in it"):
        put("models.jar", {"holds": "edu/parser.gz"}, [brought])


def test_a_package_of_the_system_comes_after_what_was_brought(brought, put):
    (brought / "js.jar").write_bytes(b"the system's")
    source = {"system": str(brought / "js.jar")}
    assert put("js.jar", source).read_bytes() == b"the system's"
    (brought / "sub" / "js.jar").write_bytes(b"brought")
    assert put("js.jar", source, [brought / "sub"]).read_bytes() == b"brought"


# --- Maven and published archives -----------------------------------------------------

CORENLP = {"maven": "edu.stanford:corenlp:3.6.0:jar:models", "sha256": [PIN, "0...0"]}
ENGINE = "org/mozilla/Engine.class"
RHINO = {"maven": "org.mozilla:rhino-engine:1.7 org.mozilla:rhino:1.7", "holds": ENGINE}
MVN = """#!{python}
import pathlib, shutil, sys, time
options = dict(a[2:].split("=") for a in sys.argv if a.startswith("-D"))
assert "dependency:get" in sys.argv and options["transitive"] == "false"
time.sleep({seconds})
shutil.copytree("{central}", options["maven.repo.local"], dirs_exist_ok=True)
"""


@pytest.fixture
def central(brought, server, monkeypatch):
    """A folder in the layout of Maven Central, which is also served."""
    files = {
        "edu/stanford/corenlp/3.6.0/corenlp-3.6.0-models.jar": CONTENT,
        "org/mozilla/rhino/1.7/rhino-1.7.jar": zipped({"a": b"1", "b": b"2"}),
        "org/mozilla/rhino-engine/1.7/rhino-engine-1.7.jar": zipped({ENGINE: b"3"}),
    }
    for name, content in files.items():
        path = brought / "central" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        checksum = hashlib.sha1(content).hexdigest()
        path.with_name(f"{path.name}.sha1").write_text(f"{checksum}  {path.name}\n")
    monkeypatch.setattr(downloads, "CENTRAL", f"{server}/central")
    return brought / "central"


@pytest.fixture
def mvn(tmp_path, central):
    """Make a stand-in for `mvn` that brings Central's files after `seconds`."""

    def make(seconds=0):
        path = tmp_path / "bin" / "mvn"
        path.parent.mkdir(exist_ok=True)
        text = MVN.format(python=sys.executable, central=central, seconds=seconds)
        path.write_text(text)
        path.chmod(0o755)

    return make


@pytest.mark.parametrize("installed", [True, False])
def test_jars_come_by_maven_or_from_its_repository(mvn, put, monkeypatch, installed):
    if installed:
        mvn()
        monkeypatch.setattr(downloads, "CENTRAL", "http://127.0.0.1:9")
    assert put("models.jar", CORENLP).read_bytes() == CONTENT
    with zipfile.ZipFile(put("js.jar", RHINO)) as jar:
        assert sorted(jar.namelist()) == ["a", "b", ENGINE]


def test_a_maven_that_brings_nothing_is_stopped_and_the_next_way_taken(
    mvn, put, monkeypatch
):
    mvn(seconds=60)
    monkeypatch.setattr(downloads, "MAVEN_ANSWERS", 0.2)
    started = time.monotonic()
    assert put("models.jar", CORENLP).read_bytes() == CONTENT
    assert put("js.jar", RHINO).exists()  # without waiting again
    assert time.monotonic() - started < 10


def test_a_published_archive_gives_its_members_and_is_downloaded_once(
    central, server, put, brought, monkeypatch
):
    monkeypatch.setattr(downloads, "CENTRAL", "http://127.0.0.1:9")
    members = {"full/a.jar": CONTENT, "full/b.jar": b"other", "full/c": b"unused"}
    (brought / "full.zip").write_bytes(zipped(members))
    source = CORENLP | {"url": f"{server}/full.zip!full/a.jar"}
    assert put("a.jar", source).read_bytes() == CONTENT
    (brought / "full.zip").write_bytes(b"")
    source = {"url": f"{server}/full.zip!full/b.jar", "sha256": PIN}
    with pytest.raises(AssetError, match="full.zip!full/b.jar is not the pinned file"):
        put("b.jar", source)


def test_a_file_that_is_not_as_published_beside_it_is_refused(central, put):
    path = central / "org/mozilla/rhino/1.7/rhino-1.7.jar"
    path.write_bytes(zipped({"evil": b""}))
    with pytest.raises(AssetError, match="rhino-1.7.jar cannot be downloaded .*hash"):
        put("js.jar", RHINO)


def test_a_host_that_does_not_answer_is_given_up_soon_and_asked_once(put, monkeypatch):
    monkeypatch.setattr(downloads, "HOST_ANSWERS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host = f"127.0.0.1:{mute.getsockname()[1]}"
        monkeypatch.setattr(downloads, "CENTRAL", f"http://{host}")
        started = time.monotonic()
        for name, source in (("models.jar", CORENLP), ("js.jar", RHINO)):
            message = f"{name} is not downloaded: .*{host} does not answer"
            with pytest.raises(AssetError, match=message):
                put(name, source)
            assert downloads.silent == {host}
        assert time.monotonic() - started < 3


def test_what_the_shipped_assets_wait_for_ends_within_15_seconds():
    assert downloads.MAVEN_ANSWERS + 2 * downloads.HOST_ANSWERS < 15
