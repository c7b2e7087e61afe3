"""The folder of a datastore: an index that does not fit it, and folders of before."""

import json

import numpy as np
import pytest
from doubles import TOY_CAPTIONS, ToyCLAP
from safetensors.numpy import load_file

from drcap.errors import DatastoreError
from drcap.retrieval import CaptionDatastore


def build(count=60, **options):
    return CaptionDatastore.build(
        TOY_CAPTIONS[:count], ToyCLAP(), progress=False, **options
    )


@pytest.fixture(params=["ivf", "hnsw"])
def folder(request, tmp_path):
    build(index=request.param).save(tmp_path / "ds")
    return tmp_path / "ds"


def change_manifest(folder, **changes):
    path = folder / "datastore.json"
    manifest = json.loads(path.read_text())
    manifest["sha256"] |= changes.pop("sha256", {})
    path.write_text(json.dumps(manifest | changes))


def take_index(folder, other):
    """Give a datastore the index of another, with its hash."""
    hashes = json.loads((other / "datastore.json").read_text())["sha256"]
    (folder / "index.faiss").write_bytes((other / "index.faiss").read_bytes())
    change_manifest(folder, sha256={"index.faiss": hashes["index.faiss"]})


@pytest.mark.parametrize("content, problem", [(None, "is missing"), (b"x", "changed")])
def test_an_index_missing_or_changed_is_damage(folder, content, problem):
    (folder / "index.faiss").unlink()
    if content:
        (folder / "index.faiss").write_bytes(content)
    with pytest.raises(DatastoreError, match=f"index.faiss .*{problem}.*: rebuild it"):
        CaptionDatastore.load(folder)


def test_the_index_of_another_datastore_is_damage(folder, tmp_path):
    kind = json.loads((folder / "datastore.json").read_text())["index"]
    build(50, index=kind).save(tmp_path / "other")
    take_index(folder, tmp_path / "other")
    with pytest.raises(DatastoreError, match=f"not the {kind} index of these embeddi"):
        CaptionDatastore.load(folder)


def test_an_index_of_another_kind_is_damage(folder, tmp_path):
    kind = json.loads((folder / "datastore.json").read_text())["index"]
    build(index={"ivf": "hnsw", "hnsw": "ivf"}[kind]).save(tmp_path / "other")
    take_index(folder, tmp_path / "other")
    with pytest.raises(DatastoreError, match=f"not the {kind} index of these embeddi"):
        CaptionDatastore.load(folder)


def test_an_index_that_no_drcap_knows_is_damage(folder):
    change_manifest(folder, index="lsh")
    with pytest.raises(DatastoreError, match="names an unknown index"):
        CaptionDatastore.load(folder)


def test_an_index_that_is_no_file_of_faiss_is_damage(folder):
    (folder / "index.faiss").write_bytes(b"")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    change_manifest(folder, sha256={"index.faiss": empty})
    with pytest.raises(DatastoreError, match="not an index of faiss: rebuild it"):
        CaptionDatastore.load(folder)


def test_a_datastore_of_before_is_read_and_its_fingerprint_is_the_same(tmp_path):
    datastore = build()
    datastore.save(tmp_path / "ds")
    path = tmp_path / "ds" / "datastore.json"
    manifest = json.loads(path.read_text())
    assert manifest.pop("dtype") == "float32" and manifest.pop("index") == "exact"
    assert manifest["version"] == 1  # an older drcap reads it
    path.write_text(json.dumps(manifest))
    old = CaptionDatastore.load(tmp_path / "ds", ToyCLAP())
    assert old.index == "exact" and old.fingerprint == datastore.fingerprint
    np.testing.assert_array_equal(old.embeddings, datastore.embeddings)
    rows = load_file(tmp_path / "ds" / "embeddings.safetensors")["embeddings"]
    np.testing.assert_array_equal(rows, datastore.embeddings)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_empty_datastore_has_no_index(tmp_path, index):
    build(0, index=index).save(tmp_path / "ds")
    assert not (tmp_path / "ds" / "index.faiss").exists()
    assert CaptionDatastore.load(tmp_path / "ds").search(np.ones((1, 32))) == [[]]


def test_a_datastore_may_be_saved_over_the_one_that_it_is_mapped_from(tmp_path):
    build(dtype="float16").save(tmp_path / "ds")
    mapped = CaptionDatastore.load(tmp_path / "ds")
    mapped.remove(TOY_CAPTIONS[:9])
    mapped.save(tmp_path / "ds")
    whole = CaptionDatastore.load(tmp_path / "ds")
    whole.save(tmp_path / "ds")
    again = CaptionDatastore.load(tmp_path / "ds")
    assert again.captions == TOY_CAPTIONS[9:]
    np.testing.assert_array_equal(again.embeddings, mapped.embeddings)
