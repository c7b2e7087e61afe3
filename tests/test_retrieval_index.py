"""The searches against numpy, and how much the approximate ones find."""

import numpy as np
import pytest
import torch
from doubles import unit_rows

from drcap.retrieval import CaptionDatastore
from drcap.retrieval.index import (
    Searcher,
    build_index,
    read_index,
    recall,
)

NOTHING = np.empty(0, dtype=np.int64)


def clustered_rows(count, dim=16, seed=0):
    centres = np.random.default_rng(99).standard_normal((20, dim))
    noise = np.random.default_rng(seed).standard_normal((count, dim))
    rows = centres[np.arange(count) % 20] + 0.4 * noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def datastore_of(rows, index):
    return CaptionDatastore([str(i) for i in range(len(rows))], rows, "random", index)


def by_numpy(queries, rows, count, excluded=NOTHING):
    products = queries @ rows.astype(np.float32).T
    products[:, excluded] = -np.inf
    return np.argsort(-products, axis=1, kind="stable")[:, :count]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("drcap.retrieval.index.BLOCK", 64)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 63, 64, 65, 300])
def test_the_exact_search_equals_numpy(dtype, count):
    rows, queries = unit_rows(300).astype(dtype), unit_rows(9, seed=1)
    scores, nearest = Searcher(rows).search(torch.from_numpy(queries), count, NOTHING)
    np.testing.assert_array_equal(nearest, by_numpy(queries, rows, count))
    expected = np.take_along_axis(queries @ rows.astype(np.float32).T, nearest, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("excluded", [[0], [63, 64], list(range(100, 280)), [299]])
def test_the_exact_search_leaves_out_the_excluded_rows(excluded):
    rows, queries = unit_rows(300), unit_rows(9, seed=1)
    excluded = np.array(excluded)
    _, nearest = Searcher(rows).search(torch.from_numpy(queries), 20, excluded)
    np.testing.assert_array_equal(nearest, by_numpy(queries, rows, 20, excluded))


def test_where_too_few_rows_are_allowed_the_rest_is_marked():
    rows, queries = unit_rows(10), torch.from_numpy(unit_rows(2, seed=1))
    _, nearest = Searcher(rows).search(queries, 10, np.arange(1, 10))
    assert (nearest[:, 0] == 0).all() and (nearest[:, 1:] == -1).all()


def test_halves_mapped_from_disk_are_read_block_by_block(tmp_path, monkeypatch):
    rows = unit_rows(300).astype(np.float16)
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    sizes, original = [], torch.from_numpy

    def noted(block):
        sizes.append(len(block))
        return original(block)

    queries = torch.from_numpy(unit_rows(9, seed=1))
    monkeypatch.setattr("drcap.retrieval.files.torch.from_numpy", noted)
    _, nearest = Searcher(mapped).search(queries, 5, NOTHING)
    assert max(sizes) == 64
    np.testing.assert_array_equal(nearest, by_numpy(queries.numpy(), rows, 5))


@pytest.mark.parametrize("kind, least", [("ivf", 0.15), ("hnsw", 0.95)])
def test_an_approximate_search_finds_most_and_never_an_excluded_row(kind, least):
    rows, queries = unit_rows(2000), unit_rows(50, seed=1)  # rows without any order
    tensor = torch.from_numpy(queries)
    exact = by_numpy(queries, rows, 3)
    index = build_index(kind, rows)
    _, nearest = index.search(tensor, 3, NOTHING)
    hits = [len({*a} & {*b}) for a, b in zip(exact, nearest, strict=True)]
    assert np.mean(hits) > 3 * least
    excluded = np.unique(exact[:, 0])
    assert not np.isin(index.search(tensor, 3, excluded)[1], excluded).any()
    # where the index finds too few, the exact search answers
    excluded = np.arange(2000)[np.arange(2000) % 100 != 7]  # 20 rows are allowed
    _, nearest = index.search(tensor, 20, excluded)
    np.testing.assert_array_equal(nearest, by_numpy(queries, rows, 20, excluded))


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_is_built_from_a_map_of_halves_saved_and_read(kind, tmp_path):
    np.save(tmp_path / "rows.npy", unit_rows(200).astype(np.float16))
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    index = build_index(kind, mapped)
    index.save(tmp_path / "index")
    queries = torch.from_numpy(unit_rows(5, seed=1))
    expected = index.search(queries, 3, NOTHING)
    again = read_index(tmp_path / "index", kind, mapped)
    np.testing.assert_array_equal(again.search(queries, 3, NOTHING), expected)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("count", [1, 5])
def test_an_index_of_few_rows_finds_them(kind, count):
    rows = unit_rows(count)
    _, nearest = build_index(kind, rows).search(torch.from_numpy(rows), 1, NOTHING)
    assert nearest[:, 0].tolist() == list(range(count))


def test_the_lists_of_an_ivf_are_the_same_each_time():
    def lists():
        index = build_index("ivf", unit_rows(1000)).index
        assert not index.by_residual
        return index.quantizer.reconstruct_n(0, 15)

    np.testing.assert_array_equal(lists(), lists())


def test_no_rows_are_searched_exactly():
    empty = np.empty((0, 16), dtype=np.float32)
    assert build_index("hnsw", empty).index is None


def test_candidates_are_more_where_more_may_tie():
    rows = np.repeat(unit_rows(3), 40, axis=0)
    queries = torch.from_numpy(unit_rows(4, seed=1))
    nearest = Searcher(rows).candidates(queries, 3, NOTHING)
    best = by_numpy(queries.numpy(), rows, 1) // 40
    for row, group in zip(nearest, best, strict=True):
        assert set(range(40 * group[0], 40 * group[0] + 40)) <= set(row)
    assert Searcher(unit_rows(120)).candidates(queries, 3, NOTHING).shape == (4, 12)
    assert Searcher(unit_rows(5)).candidates(queries, 3, NOTHING).shape == (4, 5)


class EvenRows(Searcher):
    """Finds only rows of even number."""

    def search(self, queries, count, excluded):
        odd = np.arange(1, len(self.embeddings), 2)
        return super().search(queries, count, odd)


def test_recall_is_the_share_of_the_exact_top_k_by_hand():
    rows, queries = clustered_rows(300), clustered_rows(40, seed=1)
    assert recall(datastore_of(rows, "exact"), queries) == 1
    datastore = datastore_of(rows, "ivf")
    datastore.searcher = EvenRows(rows)
    best = by_numpy(queries, rows, 3)
    assert recall(datastore, queries) == pytest.approx(np.mean(best % 2 == 0))


def test_a_caption_as_similar_as_the_last_one_counts():
    rows = np.repeat(clustered_rows(100), 2, axis=0)  # an even and an odd copy each
    datastore = datastore_of(rows, "ivf")
    datastore.searcher = EvenRows(rows)
    assert recall(datastore, clustered_rows(10, seed=1), top_k=1) == 1


def test_the_indexes_find_nearly_all_of_what_lies_in_clusters():
    rows = clustered_rows(4000)
    assert recall(datastore_of(rows, "exact")) == 1
    assert recall(datastore_of(rows, "ivf")) > 0.8
    assert recall(datastore_of(rows, "hnsw")) > 0.8
    assert recall(datastore_of(rows[:0], "ivf")) == 1
