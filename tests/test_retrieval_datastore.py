"""A datastore finds what brute force finds, and is saved and loaded unchanged."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP, unit_rows

from drcap import paths
from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.datastore import cosine, distinct, hashes

CAPTIONS = [
    "A dog barks",
    "A dog barks twice",
    "A cat meows",
    "Rain falls on a roof",
    "A man speaks over rain",
]


def datastore_of(rows, index="exact"):
    names = [f"caption {i}" for i in range(len(rows))]
    return CaptionDatastore(names, rows, "random", index)


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


def test_rows_belong_to_their_captions_whatever_the_batches():
    clap = ToyCLAP()
    captions = [" ".join(["word"] * (i % 4) + [str(i)]) for i in range(23)]
    built = CaptionDatastore.build(captions, clap, batch_size=4, progress=False)
    np.testing.assert_array_equal(built.embeddings, clap.encode_text(captions).numpy())
    asked = [captions[7], f" {captions[3]} ", captions[7]]
    rows = built.embeddings_of(asked)
    np.testing.assert_array_equal(rows, built.embeddings[[7, 3, 7]])


def test_an_unknown_caption_has_no_embedding_and_is_named(datastore):
    with pytest.raises(DatastoreError, match="lacks the caption 'A bell rings'"):
        datastore.embeddings_of([CAPTIONS[0], "A bell rings"])


@pytest.mark.parametrize("top_k", [1, 3, 50, 1000])
def test_search_equals_brute_force(top_k):
    datastore, queries = datastore_of(unit_rows(200)), unit_rows(30, seed=1)
    nearest = datastore.search(torch.from_numpy(queries), top_k)
    for query, matches in zip(queries, nearest, strict=True):
        assert texts(matches) == by_brute_force(datastore, query, top_k)


def test_search_withholds_a_common_set_and_each_query_s_own_caption(monkeypatch):
    datastore, queries = datastore_of(unit_rows(60)), unit_rows(20, seed=1)
    nearest = [texts(matches) for matches in datastore.search(queries, 4)]
    common = {nearest[0][0], nearest[1][1], "not in the datastore"}
    own = [None if i % 3 == 0 else best[0] for i, best in enumerate(nearest)]
    options = {"exclude": common, "own_captions": own}
    allowed = datastore.search(queries, 4, **options)
    for query, text, matches in zip(queries, own, allowed, strict=True):
        expected = by_brute_force(datastore, query, 4, common | {text})
        assert texts(matches) == expected and len(matches) == 4
    for at_once in (1, 7):  # how many are searched at once changes nothing
        monkeypatch.setattr("drcap.retrieval.datastore.QUERIES", at_once)
        assert datastore.search(queries, 4, **options) == allowed


def test_search_reports_the_cosine_similarity(datastore):
    [[match]] = datastore.search(ToyCLAP().encode_text(["A cat meows"]), 1)
    assert (match.caption, match.similarity) == ("A cat meows", 1.0)


def test_equal_similarities_come_in_the_datastore_s_order():
    rows = np.repeat(unit_rows(4), 50, axis=0)  # four groups of fifty rows,
    rows += 1e-7 * unit_rows(200, seed=1)  # equal but for what rounding may do
    datastore = datastore_of(rows)
    queries = unit_rows(25, seed=2)
    alone = [datastore.search(query[None], 3)[0] for query in queries]
    assert datastore.search(queries, 3) == alone
    for query, matches in zip(queries, alone, strict=True):
        assert texts(matches) == by_brute_force(datastore, query, 3)


def test_none_more_than_all_and_silence_are_answered(datastore):
    queries = ToyCLAP().encode_text(["A dog barks", "Rain"])
    assert datastore.search(queries, 0) == [[], []]
    assert [len(matches) for matches in datastore.search(queries, 99)] == [5, 5]
    assert datastore.search(queries[:0], 3) == []
    assert datastore.search(queries, 3, exclude=CAPTIONS) == [[], []]
    silent = torch.stack([queries[0], torch.zeros(32), queries[1]])
    first, second = datastore.search(queries, 3)
    assert datastore.search(silent, 3) == [first, [], second]


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
    with pytest.raises(TypeError, match="single text"):
        CaptionDatastore.build("A dog barks", ToyCLAP())


@pytest.mark.parametrize(
    "captions, rows, message",
    [
        (["a", "b"], unit_rows(3), "do not fit"),
        (["a", "a"], unit_rows(2), "repeated"),
        (["a", " "], unit_rows(2), "blank"),
        (["a", "b "], unit_rows(2), "padded"),
        (["a", "b"], 0.99 * unit_rows(2), "not unit rows"),
        (["a", "b"], np.full((2, 4), np.nan, np.float16), "not unit rows"),
    ],
)
def test_a_datastore_that_cannot_be_is_refused(captions, rows, message):
    with pytest.raises(DatastoreError, match=message):
        CaptionDatastore(captions, rows, "toy-clap")


@pytest.mark.parametrize("dtype, index", [("float32", "exact"), ("float16", "hnsw")])
def test_adding_encodes_only_new_captions_and_renews_the_index(dtype, index):
    clap = ToyCLAP()
    datastore = CaptionDatastore.build(CAPTIONS, clap, dtype=dtype, index=index)
    datastore.search(datastore.embeddings[:2], 1)  # an index exists
    assert datastore.add(["A dog barks ", "Bells ring", "Bells ring"], clap) == 1
    assert clap.encoded_captions == len(CAPTIONS) + 1
    assert datastore.captions == [*CAPTIONS, "Bells ring"]
    assert (datastore.embeddings.dtype, datastore.index) == (dtype, index)
    [[match]] = datastore.search(clap.encode_text(["Bells ring"]), 1)
    assert match.caption == "Bells ring"
    with pytest.raises(DatastoreError, match="toy-clap, not by other"):
        datastore.add(["Bells ring"], ToyCLAP("other"))


def test_removing_keeps_the_other_rows(datastore):
    before = datastore.embeddings
    datastore.search(before, 1)
    assert datastore.remove(["A cat meows", " A dog barks", "unknown"]) == 2
    assert datastore.captions == [CAPTIONS[1], *CAPTIONS[3:]]
    np.testing.assert_array_equal(datastore.embeddings, before[[1, 3, 4]])
    assert "A cat meows" not in datastore
    assert "A cat meows" not in texts(datastore.search(before[2:3], 9)[0])


def test_the_fingerprint_follows_all_that_a_search_depends_on(datastore):
    options = ({}, {"dtype": "float16"}, {"index": "ivf"}, {"index": "hnsw"})
    clap, other = ToyCLAP(), ToyCLAP("other")
    stores = [CaptionDatastore.build(CAPTIONS, clap, **each) for each in options]
    stores.append(CaptionDatastore.build(CAPTIONS, other))
    stores.append(CaptionDatastore.build(CAPTIONS[1:], clap))
    assert len({store.fingerprint for store in stores}) == len(stores)
    assert stores[0].fingerprint == datastore.fingerprint


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_saved_datastore_loads_the_same(tmp_path, dtype):
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP(), dtype=dtype)
    datastore.save(tmp_path / "new" / "ds")
    loaded = CaptionDatastore.load(tmp_path / "new" / "ds", ToyCLAP())
    assert loaded.captions == datastore.captions
    assert loaded.fingerprint == datastore.fingerprint
    np.testing.assert_array_equal(loaded.embeddings, datastore.embeddings)
    with pytest.raises(DatastoreError, match="toy-clap, not by other: rebuild"):
        CaptionDatastore.load(tmp_path / "new" / "ds", ToyCLAP("other"))


def test_an_empty_datastore_finds_nothing_and_survives_saving(tmp_path):
    CaptionDatastore.build(["", " "], ToyCLAP(), index="ivf").save(tmp_path / "empty")
    loaded = CaptionDatastore.load(tmp_path / "empty")
    assert len(loaded) == 0
    assert loaded.search(ToyCLAP().encode_text(["A dog"]), 3) == [[]]
    assert loaded.add(["A dog"], ToyCLAP()) == 1
    assert len(loaded.search(ToyCLAP().encode_text(["A dog"]), 3)[0]) == 1


def test_a_datastore_may_be_saved_over_the_one_that_it_is_mapped_from(tmp_path):
    CaptionDatastore.build(TOY_CAPTIONS, ToyCLAP()).save(tmp_path / "ds")
    mapped = CaptionDatastore.load(tmp_path / "ds")
    mapped.remove(TOY_CAPTIONS[:9])
    mapped.save(tmp_path / "ds")
    CaptionDatastore.load(tmp_path / "ds").save(tmp_path / "ds")
    again = CaptionDatastore.load(tmp_path / "ds")
    assert again.captions == TOY_CAPTIONS[9:]
    np.testing.assert_array_equal(again.embeddings, mapped.embeddings)


def test_halves_are_searched_as_the_rows_they_are():
    half = datastore_of(unit_rows(200).astype(np.float16))
    assert half.embeddings_of(["caption 3"]).dtype == np.float32
    queries = unit_rows(30, seed=1)
    whole = datastore_of(half.embeddings.astype(np.float32))
    assert half.search(queries, 3) == whole.search(queries, 3)


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_approximate_search_gives_as_many_and_keeps_the_rules(index):
    rows, queries = unit_rows(600), unit_rows(20, seed=1)
    datastore = datastore_of(rows, index)
    exact = datastore_of(rows).search(queries, 3)
    assert datastore.search(queries, 3, exact=True) == exact
    nearest = [texts(matches) for matches in datastore.search(queries, 4)]
    common, own = {nearest[0][0], nearest[1][1]}, [best[2] for best in nearest]
    allowed = datastore.search(queries, 4, exclude=common, own_captions=own)
    for query, text, matches in zip(queries, own, allowed, strict=True):
        assert len(matches) == 4 and not {text, *common} & set(texts(matches))
        similarities = [match.similarity for match in matches]
        assert similarities == sorted(similarities, reverse=True)
        row = rows[datastore.captions.index(matches[0].caption)]
        assert similarities[0] == round(float(row.astype(float) @ query), 6)
    assert [len(matches) for matches in datastore.search(queries, 500)] == [500] * 20


def test_a_kept_datastore_is_encoded_once(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "home", lambda: tmp_path)
    clap = ToyCLAP()
    first = CaptionDatastore.kept(CAPTIONS, clap, progress=False)
    again = CaptionDatastore.kept([*CAPTIONS, CAPTIONS[0]], clap, progress=False)
    assert clap.encoded_captions == len(CAPTIONS)
    assert again.fingerprint == first.fingerprint
    np.testing.assert_array_equal(again.embeddings, first.embeddings)
    CaptionDatastore.kept(CAPTIONS[:2], clap, progress=False)
    assert clap.encoded_captions == len(CAPTIONS) + 2


def test_the_folder_says_what_it_holds(datastore, tmp_path):
    datastore.save(tmp_path / "ds")
    names = {"captions.parquet", "datastore.json", "embeddings.npy"}
    assert {path.name for path in Path(tmp_path / "ds").iterdir()} == names
    manifest = json.loads((tmp_path / "ds" / "datastore.json").read_text())
    assert manifest["encoder"] == "toy-clap" and manifest["index"] == "exact"
    stored = np.load(tmp_path / "ds" / "embeddings.npy")
    np.testing.assert_array_equal(stored, datastore.embeddings)


def test_captions_are_told_apart_as_exact_text_after_stripping():
    assert distinct(["b", " a ", "", "b\n", "  ", "a", "a."]) == ["b", "a", "a."]
    with pytest.raises(TypeError, match="got a single text"):
        distinct("a dog")


def test_the_cosine_of_pairs_is_a_float64_of_six_decimals_whatever_the_rows():
    rows = np.random.default_rng(0).standard_normal((50, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries, captions = rows[:25].astype(np.float32), rows[25:].astype(np.float16)
    expected = [
        round(float(q.astype(np.float64) @ c.astype(np.float64)), 6)
        for q, c in zip(queries, captions, strict=True)
    ]
    similarities = cosine(queries, captions)
    assert similarities.dtype == np.float64
    np.testing.assert_array_equal(similarities, expected)
    np.testing.assert_array_equal(cosine(queries[:1], captions)[0], expected[0])


def test_hashes_are_the_same_on_every_machine():
    values = hashes([b"A dog barks", b"Rain", b"Rain"])
    assert values.dtype == np.uint64 and values[1] == values[2] != values[0]
    assert values[0] == 3642058734217142296
    assert hashes([]).shape == (0,)
