import hashlib
import json

import numpy as np
import pytest
import torch
from doubles import ToyCLAP

from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import CaptionDatastore, datastore_files

CAPTIONS = [
    "A dog barks",
    "A dog barks twice",
    "A cat meows",
    "Rain falls on a roof",
    "A man speaks over rain",
]


def unit_rows(count, dim=16, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def datastore_of(embeddings):
    return CaptionDatastore(
        [f"caption {i}" for i in range(len(embeddings))], embeddings, "random"
    )


def by_brute_force(datastore, query, top_k, withheld=()):
    """Sort everything by float64 similarity, then by position."""
    similarities = datastore.embeddings.astype(np.float64) @ query.astype(np.float64)
    ranked = sorted(
        (-round(similarity, 6), row)
        for row, similarity in enumerate(similarities)
        if datastore.captions[row] not in withheld
    )
    return [datastore.captions[row] for _, row in ranked[:top_k]]


def texts(matches):
    return [match.caption for match in matches]


@pytest.fixture
def datastore():
    return CaptionDatastore.build(CAPTIONS, ToyCLAP(), progress=False)


def test_building_strips_drops_blanks_and_repeats_and_keeps_the_first_order():
    captions = ["b", " a ", "", "b\n", "  ", "a", "c"]
    assert CaptionDatastore.build(captions, ToyCLAP()).captions == ["b", "a", "c"]


def test_rows_belong_to_their_captions_whatever_the_batches():
    clap = ToyCLAP()
    captions = [" ".join(["word"] * (i % 4) + [str(i)]) for i in range(23)]
    built = CaptionDatastore.build(captions, clap, batch_size=4, progress=False)
    np.testing.assert_array_equal(built.embeddings, clap.encode_text(captions).numpy())


@pytest.mark.parametrize("top_k", [1, 3, 50, 200, 1000])
def test_search_equals_brute_force(top_k):
    datastore, queries = datastore_of(unit_rows(200)), unit_rows(30, seed=1)
    found = datastore.search(torch.from_numpy(queries), top_k)
    for query, matches in zip(queries, found, strict=True):
        assert texts(matches) == by_brute_force(datastore, query, top_k)


def test_search_withholds_a_common_set_and_each_query_s_own_caption():
    datastore, queries = datastore_of(unit_rows(60)), unit_rows(20, seed=1)
    nearest = [texts(found) for found in datastore.search(queries, 4)]
    common = {nearest[0][0], nearest[1][1], "not in the datastore"}
    own = [None if i % 3 == 0 else found[0] for i, found in enumerate(nearest)]
    found = datastore.search(queries, 4, exclude=common, own_captions=own)
    for query, text, matches in zip(queries, own, found, strict=True):
        expected = by_brute_force(datastore, query, 4, common | {text})
        assert texts(matches) == expected
        assert len(matches) == 4


def test_search_reports_the_cosine_similarity(datastore):
    [[match]] = datastore.search(ToyCLAP().encode_text(["A cat meows"]), 1)
    assert match.caption == "A cat meows"
    assert match.similarity == 1.0


def test_equal_similarities_come_in_the_datastore_s_order():
    rows = np.repeat(unit_rows(4), 50, axis=0)  # four groups of fifty rows,
    rows += 1e-7 * unit_rows(200, seed=1)  # equal but for what rounding may do
    datastore = datastore_of(rows)
    queries = unit_rows(25, seed=2)
    alone = [datastore.search(query[None], 3)[0] for query in queries]
    assert datastore.search(queries, 3) == alone
    for query, matches in zip(queries, alone, strict=True):
        assert texts(matches) == by_brute_force(datastore, query, 3)


def test_asking_for_none_or_more_than_all_is_answered(datastore):
    queries = ToyCLAP().encode_text(["A dog barks", "Rain"])
    assert datastore.search(queries, 0) == [[], []]
    assert [len(found) for found in datastore.search(queries, 99)] == [5, 5]
    assert datastore.search(queries[:0], 3) == []
    assert datastore.search(queries, 3, exclude=CAPTIONS) == [[], []]


def test_an_empty_datastore_finds_nothing_and_survives_saving(tmp_path):
    empty = CaptionDatastore.build(["", " "], ToyCLAP())
    empty.save(tmp_path / "empty")
    loaded = CaptionDatastore.load(tmp_path / "empty")
    assert len(loaded) == 0
    assert loaded.search(ToyCLAP().encode_text(["A dog"]), 3) == [[]]
    assert loaded.add(["A dog"], ToyCLAP()) == 1
    assert len(loaded.search(ToyCLAP().encode_text(["A dog"]), 3)[0]) == 1


def test_impossible_searches_are_refused(datastore):
    with pytest.raises(ConfigError, match="top_k is -1"):
        datastore.search(torch.zeros(1, 32), -1)
    with pytest.raises(ValueError, match=r"\(B, 32\), got \(1, 8\)"):
        datastore.search(torch.zeros(1, 8))
    with pytest.raises(ValueError, match="NaN"):
        datastore.search(torch.full((1, 32), torch.nan))
    with pytest.raises(ValueError, match="expected 1 own captions"):
        datastore.search(torch.zeros(1, 32), own_captions=["a", "b"])
    with pytest.raises(TypeError, match="single text"):
        datastore.search(torch.zeros(1, 32), exclude="A dog barks")


def test_adding_encodes_only_new_captions(datastore):
    clap = ToyCLAP()
    assert datastore.add(["A dog barks ", "Bells ring", "Bells ring"], clap) == 1
    assert clap.encoded_captions == 1
    assert datastore.captions == [*CAPTIONS, "Bells ring"]
    [[match]] = datastore.search(clap.encode_text(["Bells ring"]), 1)
    assert match.caption == "Bells ring"


def test_adding_with_another_encoder_is_refused(datastore):
    with pytest.raises(DatastoreError, match="toy-clap, not by other"):
        datastore.add(["Bells ring"], ToyCLAP("other"))


def test_removing_keeps_the_other_rows(datastore):
    before = datastore.embeddings
    datastore.search(before, 1)  # an index exists and must be replaced
    assert datastore.remove(["A cat meows", " A dog barks", "unknown"]) == 2
    assert datastore.captions == [CAPTIONS[1], *CAPTIONS[3:]]
    np.testing.assert_array_equal(datastore.embeddings, before[[1, 3, 4]])
    assert "A cat meows" not in datastore
    assert "A cat meows" not in texts(datastore.search(before[2:3], 9)[0])


def test_the_fingerprint_follows_captions_and_encoder(datastore):
    same = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    other = CaptionDatastore.build(CAPTIONS, ToyCLAP("other"))
    assert same.fingerprint == datastore.fingerprint != other.fingerprint
    datastore.remove(CAPTIONS[:1])
    assert same.fingerprint != datastore.fingerprint


def test_a_saved_datastore_loads_the_same(datastore, tmp_path):
    datastore.save(tmp_path / "new" / "ds")
    loaded = CaptionDatastore.load(tmp_path / "new" / "ds", ToyCLAP())
    assert loaded.captions == datastore.captions
    assert loaded.fingerprint == datastore.fingerprint
    np.testing.assert_array_equal(loaded.embeddings, datastore.embeddings)


def test_saving_replaces_a_datastore_and_nothing_else(datastore, tmp_path):
    datastore.save(tmp_path / "ds")
    datastore.remove(CAPTIONS[:2])
    datastore.save(tmp_path / "ds")
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 3
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "dog.jpg").write_text("wau")
    with pytest.raises(DatastoreError, match="holds other files"):
        datastore.save(tmp_path / "photos")
    with pytest.raises(DatastoreError, match="is a file"):
        datastore.save(tmp_path / "photos" / "dog.jpg")
    assert (tmp_path / "photos" / "dog.jpg").read_text() == "wau"


def test_a_failed_save_leaves_the_old_datastore(datastore, tmp_path, monkeypatch):
    datastore.save(tmp_path / "ds")
    monkeypatch.setattr(datastore_files.files, "write_json", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        datastore.save(tmp_path / "ds")
    assert CaptionDatastore.load(tmp_path / "ds").captions == CAPTIONS
    assert [path.name for path in tmp_path.iterdir()] == ["ds"]


def test_a_missing_datastore_is_named_with_the_command_that_builds_it(tmp_path):
    with pytest.raises(DatastoreError, match="does not exist.*drcap datastore build"):
        CaptionDatastore.load(tmp_path / "gone")


def test_a_folder_or_file_that_is_no_datastore_is_refused(tmp_path):
    with pytest.raises(DatastoreError, match="not a datastore"):
        CaptionDatastore.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatastoreError, match="not a datastore"):
        CaptionDatastore.load(tmp_path / "file")


def test_another_encoder_s_datastore_is_refused(datastore, tmp_path):
    datastore.save(tmp_path / "ds")
    with pytest.raises(DatastoreError, match="toy-clap, not by other: rebuild"):
        CaptionDatastore.load(tmp_path / "ds", ToyCLAP("other"))


@pytest.mark.parametrize("name", ["captions.parquet", "embeddings.safetensors"])
def test_a_changed_or_missing_file_is_damage(datastore, tmp_path, name):
    datastore.save(tmp_path / "ds")
    path = tmp_path / "ds" / name
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DatastoreError, match=f"damaged, {name} has changed.*rebuild"):
        CaptionDatastore.load(tmp_path / "ds")
    path.unlink()
    with pytest.raises(DatastoreError, match=f"damaged, {name} is missing"):
        CaptionDatastore.load(tmp_path / "ds")


@pytest.mark.parametrize(
    "change, message",
    [
        ({"version": 99}, "format version 99, this drcap reads 1: rebuild"),
        ({"captions": 4}, "does not fit"),
        ({"encoder": None}, "lacks encoder"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(datastore, tmp_path, change, message):
    datastore.save(tmp_path / "ds")
    path = tmp_path / "ds" / "datastore.json"
    manifest = json.loads(path.read_text()) | change
    manifest = {key: value for key, value in manifest.items() if value is not None}
    path.write_text(json.dumps(manifest))
    with pytest.raises(DatastoreError, match=message):
        CaptionDatastore.load(tmp_path / "ds")


@pytest.mark.parametrize("content", ["{", "[]", "\ufffe"])
def test_a_manifest_that_is_no_object_is_refused(datastore, tmp_path, content):
    datastore.save(tmp_path / "ds")
    (tmp_path / "ds" / "datastore.json").write_text(content, encoding="utf-16")
    with pytest.raises(DatastoreError, match="rebuild it with"):
        CaptionDatastore.load(tmp_path / "ds")
    (tmp_path / "ds" / "datastore.json").write_text(content, encoding="utf-8")
    with pytest.raises(DatastoreError, match="rebuild it with"):
        CaptionDatastore.load(tmp_path / "ds")


@pytest.mark.parametrize(
    "captions, rows, message",
    [
        (["a", "b"], unit_rows(3), "do not fit"),
        (["a", "a"], unit_rows(2), "repeated"),
        (["a", " "], unit_rows(2), "blank"),
        (["a", "b "], unit_rows(2), "padded"),
        (["a", "b"], 2 * unit_rows(2), "not unit rows"),
        (["a", "b"], np.full((2, 4), np.nan), "not unit rows"),
    ],
)
def test_a_datastore_that_cannot_be_is_refused(captions, rows, message):
    with pytest.raises(DatastoreError, match=message):
        CaptionDatastore(captions, rows, "toy-clap")


@pytest.mark.parametrize("at_once", [1, 7, 30])
def test_a_search_does_not_depend_on_how_many_are_searched_at_once(
    at_once, monkeypatch
):
    datastore, queries = datastore_of(unit_rows(60)), unit_rows(30, seed=1)
    own = [f"caption {i}" for i in range(30)]
    options = {"own_captions": own, "exclude": ["caption 5", "caption 40"]}
    expected = datastore.search(queries, 4, **options)
    monkeypatch.setattr("drcap.retrieval.datastore.QUERIES", at_once)
    assert datastore.search(queries, 4, **options) == expected


@pytest.mark.parametrize("index", ["exact", "ivf", "hnsw"])
def test_halves_are_kept_as_such_and_searched_as_the_rows_they_are(index):
    rows = unit_rows(200).astype(np.float16)
    datastore = CaptionDatastore([str(i) for i in range(200)], rows, "random", index)
    assert datastore.embeddings.dtype == np.float16
    assert datastore.rows(np.array([3])).dtype == np.float32
    queries = unit_rows(30, seed=1)
    found = datastore.search(queries, 3, exact=True)
    for query, matches in zip(queries, found, strict=True):
        assert texts(matches) == by_brute_force(datastore, query, 3)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_approximate_search_gives_as_many_and_keeps_the_rules(index):
    rows, queries = unit_rows(600), unit_rows(20, seed=1)
    datastore = CaptionDatastore([str(i) for i in range(600)], rows, "random", index)
    nearest = [texts(found) for found in datastore.search(queries, 4)]
    common, own = {nearest[0][0], nearest[1][1]}, [found[2] for found in nearest]
    found = datastore.search(queries, 4, exclude=common, own_captions=own)
    for query, text, matches in zip(queries, own, found, strict=True):
        assert len(matches) == 4 and not {text, *common} & set(texts(matches))
        similarities = [match.similarity for match in matches]
        assert similarities == sorted(similarities, reverse=True)
        row = int(matches[0].caption)
        assert similarities[0] == round(float(rows[row].astype(float) @ query), 6)
    assert [len(each) for each in datastore.search(queries, 500)] == [500] * 20


def test_the_fingerprint_of_a_plain_datastore_is_that_of_before():
    content = json.dumps(["toy-clap", CAPTIONS]).encode()
    plain = CaptionDatastore.build(CAPTIONS, ToyCLAP(), progress=False)
    assert plain.fingerprint == hashlib.sha256(content).hexdigest()
    others = [
        CaptionDatastore.build(CAPTIONS, ToyCLAP(), progress=False, **options)
        for options in ({"dtype": "float16"}, {"index": "ivf"}, {"index": "hnsw"})
    ]
    assert len({plain.fingerprint, *(each.fingerprint for each in others)}) == 4


def test_adding_keeps_halves_and_the_kind_of_index():
    half = CaptionDatastore.build(
        CAPTIONS, ToyCLAP(), progress=False, dtype="float16", index="hnsw"
    )
    half.search(half.rows(np.arange(2)), 1)  # an index exists and must be replaced
    assert half.add(["Bells ring"], ToyCLAP()) == 1
    assert half.embeddings.dtype == np.float16 and half.index == "hnsw"
    [[match]] = half.search(ToyCLAP().encode_text(["Bells ring"]), 1)
    assert match.caption == "Bells ring"


def test_settings_that_are_not_known_are_refused():
    with pytest.raises(ConfigError, match="unknown 'lsh'"):
        CaptionDatastore(["a"], unit_rows(1), "random", "lsh")
    clap = ToyCLAP()
    with pytest.raises(ConfigError, match="'int8' is not stored"):
        CaptionDatastore.build(CAPTIONS, clap, dtype="int8")
    assert clap.encoded_captions == 0
