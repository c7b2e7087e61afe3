"""Files that no package holds: downloaded if pinned, else brought and looked into."""

import hashlib
import zipfile

import pytest

from drcap.assets.single_files import SingleFile, place
from drcap.errors import AssetError

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
def folder(tmp_path):
    """The asset's folder; what is placed there is compared with what was brought."""
    (tmp_path / "asset").mkdir()
    return tmp_path / "asset"


def test_a_pinned_file_is_downloaded_and_compared(brought, folder, capsys):
    url = (brought / "sub" / "weights.ckpt").as_uri()
    place(SingleFile("deep/weights.ckpt", url=url, sha256=PIN), folder, [])
    assert (folder / "deep" / "weights.ckpt").read_bytes() == CONTENT
    assert "deep/weights.ckpt" in capsys.readouterr().err  # the progress bar


def test_another_file_at_the_address_is_refused(brought, folder):
    url = (brought / "models.jar").as_uri()
    file = SingleFile("weights.ckpt", url=url, sha256=PIN)
    with pytest.raises(
        AssetError, match=f"{url} is not the pinned file: SHA-256 .*{PIN}"
    ):
        place(file, folder, [], progress=False)


@pytest.mark.parametrize("url", ["file:///nowhere/x", "http://127.0.0.1:9/x"])
def test_an_address_that_does_not_answer_is_named(folder, url, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    file = SingleFile("weights.ckpt", url=url, sha256=PIN)
    with pytest.raises(AssetError, match=f"{url} cannot be downloaded"):
        place(file, folder, [], progress=False)


def test_a_file_of_unknown_hash_is_never_downloaded(brought, folder):
    url = (brought / "models.jar").as_uri()
    with pytest.raises(AssetError, match="models.jar is not downloaded: its SHA"):
        place(SingleFile("models.jar", url=url, holds="edu/parser.gz"), folder, [])


def test_a_folder_stands_in_for_the_network(brought, folder):
    file = SingleFile("weights.ckpt", url="http://127.0.0.1:9/x", sha256=PIN)
    place(file, folder, [brought, brought / "sub"])
    assert (folder / "weights.ckpt").read_bytes() == CONTENT
    with pytest.raises(AssetError, match=f"weights.ckpt is not in {brought}"):
        place(file, folder, [brought])


def test_a_brought_file_of_another_hash_is_refused(brought, folder):
    (brought / "weights.ckpt").write_bytes(b"other weights")
    with pytest.raises(AssetError, match=f"{brought}/weights.ckpt is not the pinned"):
        place(SingleFile("weights.ckpt", sha256=PIN), folder, [brought])


def test_a_jar_of_unknown_hash_must_hold_what_is_needed_of_it(brought, folder):
    place(SingleFile("models.jar", holds="edu/parser.gz"), folder, [brought])
    with pytest.raises(AssetError, match="models.jar.*: edu/tagger.gz is not in it"):
        place(SingleFile("models.jar", holds="edu/tagger.gz"), folder, [brought])


def test_a_jar_cut_short_is_refused(brought, folder):
    jar = brought / "models.jar"
    jar.write_bytes(jar.read_bytes()[:-30])
    assert b"edu/parser.gz" in jar.read_bytes()
    with pytest.raises(AssetError, match="edu/parser.gz is not in it"):
        place(SingleFile("models.jar", holds="edu/parser.gz"), folder, [brought])


def test_another_file_must_hold_a_text(brought, folder):
    (brought / "config.json").write_text('{"num_hidden_layers": 6}')
    place(SingleFile("config.json", holds='"num_hidden_layers": 6'), folder, [brought])
    with pytest.raises(AssetError, match="config.json is not the file wanted"):
        place(SingleFile("config.json", holds="12"), folder, [brought])


def test_a_package_of_the_system_comes_after_what_was_brought(brought, folder):
    system = brought / "js.jar"
    system.write_bytes(b"the system's")
    place(SingleFile("js.jar", system=str(system)), folder, [])
    assert (folder / "js.jar").read_bytes() == b"the system's"
    (brought / "sub" / "js.jar").write_bytes(b"brought")
    place(SingleFile("js.jar", system=str(system)), folder, [brought / "sub"])
    assert (folder / "js.jar").read_bytes() == b"brought"
