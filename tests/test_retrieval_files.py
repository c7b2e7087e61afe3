"""The folder of a datastore: what may be replaced, and what counts as damage."""

import hashlib
import json

import pytest
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap.errors import DatastoreError
from drcap.retrieval import CaptionDatastore, files


def build(count=60, index="ivf"):
    return CaptionDatastore.build(TOY_CAPTIONS[:count], ToyCLAP(), index=index)


@pytest.fixture
def folder(tmp_path):
    build().save(tmp_path / "ds")
    return tmp_path / "ds"


def change_manifest(folder, **changes):
    """Change entries of the manifest, or drop those that become None."""
    path = folder / "datastore.json"
    values = json.loads(path.read_text()) | changes
    values = {key: value for key, value in values.items() if value is not None}
    path.write_text(json.dumps(values))


def put_index(folder, content):
    """Give a datastore another index, with its hash."""
    (folder / "index.faiss").write_bytes(content)
    hashes = json.loads((folder / "datastore.json").read_text())["sha256"]
    hashes["index.faiss"] = hashlib.sha256(content).hexdigest()
    change_manifest(folder, sha256=hashes)


def refused(folder, message):
    with pytest.raises(DatastoreError, match=message):
        CaptionDatastore.load(folder)


@pytest.mark.parametrize("name", ["captions.parquet", "embeddings.npy", "index.faiss"])
def test_a_changed_or_missing_file_is_damage(folder, name):
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    for _ in range(2):
        refused(folder, f"damaged, {name} is missing or has changed: rebuild it")
        path.unlink(missing_ok=True)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_the_index_of_something_else_is_damage(tmp_path, kind):
    folder = tmp_path / "ds"
    build(index=kind).save(folder)
    other = "hnsw" if kind == "ivf" else "ivf"
    for index in (build(50, kind), build(60, other)):
        index.save(tmp_path / "other")
        put_index(folder, (tmp_path / "other" / "index.faiss").read_bytes())
        refused(folder, f"not the {kind} index of these embeddings: rebuild it")
    put_index(folder, b"")
    refused(folder, f"index.faiss is not the {kind} index")


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"version": 1}, "has format version 1, not 2: rebuild it with"),
        ({"encoder": None}, "damaged, datastore.json cannot be read: rebuild it"),
        ({"sha256": {}}, "damaged, .* is missing or has changed"),
        ({"sha256": 7}, "damaged, datastore.json cannot be read"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(folder, changes, message):
    change_manifest(folder, **changes)
    refused(folder, message)


@pytest.mark.parametrize("content", ["{", "[]", "\ufffe"])
def test_a_manifest_that_is_no_object_is_refused(folder, content):
    for encoding in ("utf-16", "utf-8"):
        (folder / "datastore.json").write_text(content, encoding=encoding)
        refused(folder, "rebuild it with")


def test_what_is_missing_or_no_datastore_is_named(tmp_path):
    refused(tmp_path / "gone", "does not exist.*drcap datastore build")
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file"):
        refused(path, "is no datastore .no datastore.json.: rebuild it with")


def test_saving_replaces_a_datastore_and_nothing_else(folder, tmp_path):
    build(3, "exact").save(folder)
    assert len(CaptionDatastore.load(folder)) == 3
    assert not (folder / "index.faiss").exists()
    photo = tmp_path / "photos" / "dog.jpg"
    photo.parent.mkdir()
    photo.write_text("wau")
    for target, message in {
        photo.parent: "holds other files",
        photo: "is a file",
        photo / "ds": "dog.jpg is a file: name a folder for the datastore",
    }.items():
        with pytest.raises(DatastoreError, match=message):
            build(3).save(target)
    assert photo.read_text() == "wau"
    with pytest.raises(DatastoreError, match="exists: name another folder or add --ov"):
        files.check_target(folder, overwrite=False)


def test_a_failed_save_leaves_the_old_datastore(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(files, "complete", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        build(3).save(folder)
    assert CaptionDatastore.load(folder).captions == TOY_CAPTIONS
    assert [path.name for path in tmp_path.iterdir()] == ["ds"]
