import numpy as np
import pytest
import torch

from drcap.errors import ConfigError
from drcap.files.embeddings import map_rows, write_rows
from drcap.retrieval.nearest import (
    Approximate,
    Exact,
    build_index,
    candidates,
    read_index,
)

NOBODY = np.empty(0, dtype=np.int64)


def unit_rows(count, dim=16, seed=0):
    rows = np.random.default_rng(seed).standard_normal((count, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def by_numpy(queries, rows, count, excluded=NOBODY):
    products = queries @ rows.astype(np.float32).T
    products[:, excluded] = -np.inf
    return np.argsort(-products, axis=1, kind="stable")[:, :count]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr("drcap.retrieval.nearest.BLOCK", 64)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [1, 5, 63, 64, 65, 300])
def test_the_exact_search_equals_numpy(dtype, count):
    rows, queries = unit_rows(300).astype(dtype), unit_rows(9, seed=1)
    scores, found = Exact(rows).search(torch.from_numpy(queries), count, NOBODY)
    np.testing.assert_array_equal(found, by_numpy(queries, rows, count))
    expected = np.take_along_axis(queries @ rows.astype(np.float32).T, found, axis=1)
    np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("excluded", [[0], [63, 64], list(range(100, 280)), [299]])
def test_the_exact_search_leaves_out_the_excluded_rows(excluded):
    rows, queries = unit_rows(300), unit_rows(9, seed=1)
    excluded = np.array(excluded)
    _, found = Exact(rows).search(torch.from_numpy(queries), 20, excluded)
    np.testing.assert_array_equal(found, by_numpy(queries, rows, 20, excluded))


def test_where_too_few_rows_are_allowed_the_rest_is_marked():
    rows, queries = unit_rows(10), torch.from_numpy(unit_rows(2, seed=1))
    _, found = Exact(rows).search(queries, 10, np.arange(1, 10))
    assert (found[:, 0] == 0).all() and (found[:, 1:] == -1).all()


def test_halves_mapped_from_disk_are_read_block_by_block(tmp_path, monkeypatch):
    rows = unit_rows(300).astype(np.float16)
    write_rows(tmp_path / "rows", [rows], rows.shape, "float16")
    largest, original = [], torch.from_numpy

    def noted(block):
        largest.append(len(block))
        return original(block)

    monkeypatch.setattr("drcap.files.embeddings.torch.from_numpy", noted)
    queries = original(unit_rows(9, seed=1))
    _, found = Exact(map_rows(tmp_path / "rows")).search(queries, 5, NOBODY)
    assert max(largest) == 64
    np.testing.assert_array_equal(found, by_numpy(queries.numpy(), rows, 5))


@pytest.mark.parametrize("kind, least", [("ivf", 0.15), ("hnsw", 0.95)])
def test_an_approximate_search_finds_most_and_never_an_excluded_row(kind, least):
    rows, queries = unit_rows(2000), unit_rows(50, seed=1)  # rows without any order
    exact = by_numpy(queries, rows, 3)
    excluded = np.unique(exact[:, 0])
    index = build_index(kind, rows)
    _, found = index.search(torch.from_numpy(queries), 3, NOBODY)
    hits = [len({*a} & {*b}) for a, b in zip(exact, found, strict=True)]
    assert np.mean(hits) > 3 * least
    _, found = index.search(torch.from_numpy(queries), 3, excluded)
    assert not np.isin(found, excluded).any()


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_where_an_index_finds_too_few_the_exact_search_answers(kind):
    rows, queries = unit_rows(2000), unit_rows(5, seed=1)
    excluded = np.arange(2000)[np.arange(2000) % 100 != 7]  # 20 rows are allowed
    _, found = build_index(kind, rows).search(torch.from_numpy(queries), 20, excluded)
    np.testing.assert_array_equal(found, by_numpy(queries, rows, 20, excluded))


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_is_built_from_a_map_of_halves_and_saved(kind, tmp_path):
    rows = unit_rows(200).astype(np.float16)
    write_rows(tmp_path / "rows", [rows], rows.shape, "float16")
    mapped = map_rows(tmp_path / "rows")
    index = build_index(kind, mapped)
    index.save(tmp_path / "index")
    queries = torch.from_numpy(unit_rows(5, seed=1))
    expected = index.search(queries, 3, NOBODY)
    found = read_index(tmp_path / "index", kind, mapped).search(queries, 3, NOBODY)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("count", [1, 5])
def test_an_index_of_few_rows_finds_them(kind, count):
    rows = unit_rows(count)
    _, found = build_index(kind, rows).search(torch.from_numpy(rows), 1, NOBODY)
    assert found[:, 0].tolist() == list(range(count))


def test_the_lists_of_an_ivf_are_the_same_each_time_and_follow_the_seed():
    rows = unit_rows(1000)

    def lists(seed):
        index = build_index("ivf", rows, seed=seed).index
        return index.quantizer.reconstruct_n(0, 15)

    np.testing.assert_array_equal(lists(0), lists(0))
    assert not np.array_equal(lists(0), lists(1))


def test_no_rows_are_searched_exactly():
    empty = np.empty((0, 16), dtype=np.float32)
    assert not isinstance(build_index("hnsw", empty), Approximate)


def test_an_index_of_something_else_is_refused(tmp_path):
    build_index("hnsw", unit_rows(5)).save(tmp_path / "index")
    for kind, rows in (("ivf", 5), ("hnsw", 6)):
        with pytest.raises(ValueError, match=f"is not the {kind} index of these"):
            read_index(tmp_path / "index", kind, unit_rows(rows))
    (tmp_path / "other").write_bytes(b"something else")
    with pytest.raises(ValueError, match="other is not an index of faiss"):
        read_index(tmp_path / "other", "ivf", unit_rows(5))


def test_an_unknown_kind_of_index_is_refused():
    with pytest.raises(ConfigError, match="unknown 'lsh'; known: exact, ivf, hnsw"):
        build_index("lsh", unit_rows(5))


def test_candidates_are_more_where_more_may_tie():
    rows = np.repeat(unit_rows(3), 40, axis=0)
    queries = torch.from_numpy(unit_rows(4, seed=1))
    found = candidates(Exact(rows), queries, 3, NOBODY)
    best = by_numpy(queries.numpy(), rows, 1) // 40
    for row, group in zip(found, best, strict=True):
        assert set(range(40 * group[0], 40 * group[0] + 40)) <= set(row)
    assert candidates(Exact(unit_rows(120)), queries, 3, NOBODY).shape == (4, 12)
    assert candidates(Exact(unit_rows(5)), queries, 3, NOBODY[:0]).shape == (4, 5)
