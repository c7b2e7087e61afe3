"""Similar captions are drawn as brute force says, whatever the blocks and order."""

import tracemalloc

import numpy as np
import pytest
import torch
from doubles import unit_rows

from drcap.errors import ConfigError
from drcap.retrieval import CaptionDatastore, similarity_selection
from drcap.retrieval.similarity_selection import (
    counts_in_range,
    refit_range,
    select_similar,
)


def clustered_rows(count, dim=24, seed=0):
    """Unit rows around eight centres, so that many pairs lie in the band."""
    centres = np.random.default_rng(99).standard_normal((8, dim))
    noise = np.random.default_rng(seed).standard_normal((count, dim))
    rows = centres[np.arange(count) % 8] + 0.5 * noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(scope="module")
def datastore():
    rows = clustered_rows(400)
    return CaptionDatastore([f"caption {i}" for i in range(400)], rows, "random")


def band_by_brute_force(datastore, query, sim_min, sim_max, withheld=()):
    similarities = datastore.embeddings.astype(np.float64) @ query.astype(np.float64)
    inside = (similarities >= sim_min) & (similarities <= sim_max)
    chosen = {datastore.captions[row] for row in np.flatnonzero(inside)}
    return chosen - set(withheld)


def texts(matches):
    return [match.caption for match in matches]


def test_k_are_drawn_from_the_band_or_fewer_where_fewer_qualify(datastore):
    queries = clustered_rows(50, seed=1)
    selected = select_similar(queries, datastore, k=12)
    bands = [band_by_brute_force(datastore, q, 0.75, 0.85) for q in queries]
    whole = select_similar(queries, datastore, k=400)
    assert [set(texts(matches)) for matches in whole] == bands
    assert [len(matches) for matches in whole] == [len(band) for band in bands]
    for band, matches in zip(bands, selected, strict=True):
        assert set(texts(matches)) <= band
        assert len(matches) == min(12, len(band))
        assert all(0.75 <= match.similarity <= 0.85 for match in matches)
    assert any(len(band) < 12 for band in bands)
    assert any(len(band) > 12 for band in bands)


def test_both_edges_of_the_band_belong_to_it():
    angles = np.arccos([1.0, 0.9, 0.85, 0.8, 0.75, 0.7])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    datastore = CaptionDatastore(["1", ".9", ".85", ".8", ".75", ".7"], rows, "angles")
    [matches] = select_similar(rows[:1], datastore, k=9)
    assert set(texts(matches)) == {".85", ".8", ".75"}


def test_rounding_in_the_matrix_product_does_not_move_the_edges(datastore):
    queries = clustered_rows(40, seed=1)
    exact = queries.astype(np.float64) @ datastore.embeddings[:40].T.astype(np.float64)
    for row, query in enumerate(queries):
        edge = round(exact[row, row], 6)
        found = select_similar(query[None], datastore, k=9, sim_min=edge, sim_max=edge)
        assert f"caption {row}" in texts(found[0])


def test_a_query_s_own_caption_is_never_selected(datastore):
    queries = datastore.embeddings[[3, 3, 5]]
    own = ["caption 3", " caption 3 ", None]
    first, second, third = select_similar(
        queries, datastore, k=400, sim_min=0.7, sim_max=1.0, own_captions=own
    )
    assert "caption 3" not in texts(first)
    assert first == second  # the same text draws the same
    assert "caption 5" in texts(third)
    expected = band_by_brute_force(datastore, queries[0], 0.7, 1.01, ["caption 3"])
    assert set(texts(first)) == expected


def test_excluded_captions_are_never_selected(datastore):
    queries = clustered_rows(20, seed=1)
    exclude = {f"caption {i}" for i in range(0, 400, 2)}
    selected = select_similar(queries, datastore, k=400, exclude=exclude)
    for query, matches in zip(queries, selected, strict=True):
        expected = band_by_brute_force(datastore, query, 0.75, 0.85, exclude)
        assert set(texts(matches)) == expected


@pytest.mark.parametrize("block_size", [7, 64, 399, 5000])
def test_a_selection_does_not_depend_on_the_blocks(datastore, block_size):
    queries = clustered_rows(30, seed=1)
    whole = select_similar(queries, datastore, seed=4)
    assert select_similar(queries, datastore, seed=4, block_size=block_size) == whole


def test_a_selection_does_not_depend_on_the_order_of_queries_or_captions(datastore):
    queries = clustered_rows(30, seed=1)
    own = [f"own {i}" for i in range(30)]
    order = np.random.default_rng(0).permutation(30)
    shuffled = np.random.default_rng(1).permutation(400)
    other = CaptionDatastore(
        [datastore.captions[row] for row in shuffled],
        datastore.embeddings[shuffled],
        "random",
    )
    expected = select_similar(queries, datastore, own_captions=own)
    again = select_similar(
        queries[order], other, own_captions=[own[i] for i in order], block_size=11
    )
    assert again == [expected[i] for i in order]


def test_captions_of_equal_embedding_draw_apart(datastore):
    queries = np.repeat(clustered_rows(1, seed=1), 20, axis=0)
    own = [f"own {i}" for i in range(20)]
    selected = select_similar(queries, datastore, own_captions=own)
    assert len({tuple(matches) for matches in selected}) > 10


def test_a_seed_fixes_the_draw_and_another_seed_changes_it(datastore):
    queries = torch.from_numpy(clustered_rows(30, seed=1))
    first, again, other = (
        select_similar(queries, datastore, seed=s) for s in (1, 1, 2)
    )
    assert first == again
    assert sum(a != b for a, b in zip(first, other, strict=True)) > 20
    assert select_similar(queries, datastore, seed=-1) != first


def test_each_caption_of_the_band_is_drawn_equally_often(datastore):
    query = clustered_rows(1, seed=1)
    band = sorted(band_by_brute_force(datastore, query[0], 0.75, 0.85))
    assert len(band) >= 15
    draws, k = 600, 3
    counts = dict.fromkeys(band, 0)
    firsts = dict.fromkeys(band, 0)
    for seed in range(draws):
        [matches] = select_similar(query, datastore, k=k, seed=seed)
        firsts[matches[0].caption] += 1
        for caption in texts(matches):
            counts[caption] += 1
    # Chi-square with n - 1 degrees of freedom: mean n - 1, standard deviation
    # sqrt(2 (n - 1)). The bound is five deviations above the mean.
    n = len(band)
    bound = n - 1 + 5 * np.sqrt(2 * (n - 1))
    for tally, expected in ((counts, draws * k / n), (firsts, draws / n)):
        deviations = np.array(list(tally.values())) - expected
        assert np.sum(deviations**2) / expected < bound


def peak_memory(rows, **options):
    """Return the most bytes of numpy's arrays; torch's block is as large."""
    datastore = CaptionDatastore([str(i) for i in range(len(rows))], rows, "random")
    tracemalloc.start()
    selected = select_similar(rows, datastore, **options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [len(matches) for matches in selected] == [3] * len(rows)
    return peak


def test_memory_follows_the_block_size_and_not_the_number_of_pairs():
    rows = clustered_rows(3000)  # all pairs at once: 36 MB of similarities
    assert peak_memory(rows, sim_min=-1, sim_max=1, block_size=128) < 12e6
    rows = np.zeros((1500, 64), dtype=np.float32)
    rows[:, 0] = 1  # all pairs on an edge; their gathered rows would take 576 MB
    assert peak_memory(rows, sim_min=1, sim_max=1, block_size=500) < 60e6


def test_nothing_to_draw_gives_empty_lists(datastore):
    queries = clustered_rows(2, seed=1)
    empty = CaptionDatastore([], np.empty((0, 24)), "random")
    assert select_similar(queries, empty) == [[], []]
    assert select_similar(queries, datastore, k=0) == [[], []]
    assert select_similar(queries, datastore, sim_min=0.9999, sim_max=1) == [[], []]
    assert select_similar(queries[:0], datastore) == []


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("precision", ["highest", "high"])  # "high" allows TF32
def test_a_selection_does_not_depend_on_the_device(datastore, precision):
    queries = torch.from_numpy(clustered_rows(200, seed=1))
    expected = select_similar(queries, datastore, k=400)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    found = select_similar(queries.cuda(), datastore, k=400)
    torch.set_float32_matmul_precision(before)
    assert found == expected


def test_impossible_selections_are_refused(datastore):
    queries = clustered_rows(2, seed=1)
    with pytest.raises(ConfigError, match="k is -1"):
        select_similar(queries, datastore, k=-1)
    with pytest.raises(ConfigError, match="sim_min 0.9"):
        select_similar(queries, datastore, sim_min=0.9, sim_max=0.8)
    with pytest.raises(ConfigError, match="sim_min nan"):
        select_similar(queries, datastore, sim_min=float("nan"))
    with pytest.raises(ValueError, match=r"\(B, 24\)"):
        select_similar(queries[:, :5], datastore)
    with pytest.raises(ValueError, match="expected 2 own captions"):
        select_similar(queries, datastore, own_captions=["a"])


@pytest.mark.parametrize("block_size", [64, 5000])
def test_halves_mapped_from_disk_are_drawn_from_as_the_rows_they_are(
    tmp_path, block_size
):
    rows = clustered_rows(400).astype(np.float16)
    names = [f"caption {i}" for i in range(400)]
    CaptionDatastore(names, rows, "random").save(tmp_path / "half")
    half = CaptionDatastore.load(tmp_path / "half")
    whole = CaptionDatastore(names, rows.astype(np.float32), "random")
    queries = clustered_rows(30, seed=1)
    expected = select_similar(queries, whole, k=5)
    assert select_similar(queries, half, k=5, block_size=block_size) == expected


def test_each_block_of_captions_is_read_once(datastore, monkeypatch):
    read, original = [], similarity_selection.float32

    def noted(rows, device):
        read.append(len(rows))
        return original(rows, device)

    monkeypatch.setattr(similarity_selection, "float32", noted)
    select_similar(clustered_rows(90, seed=1), datastore, block_size=40)
    assert read == [40] * 10


@pytest.mark.parametrize("width", [0, 1e-3, 3.9e-3, 4.1e-3, 0.1])
def test_a_band_narrower_than_the_margin_is_exact_too(datastore, width):
    queries = clustered_rows(30, seed=1)
    band = {"sim_min": 0.8 - width / 2, "sim_max": 0.8 + width / 2}
    found = select_similar(queries, datastore, k=400, **band)
    for query, matches in zip(queries, found, strict=True):
        expected = band_by_brute_force(datastore, query, *band.values())
        assert set(texts(matches)) == expected


def test_the_captions_in_range_are_counted_for_each_query(monkeypatch):
    monkeypatch.setattr(similarity_selection, "BLOCK", 7)
    queries, captions = unit_rows(20), unit_rows(300, seed=1)
    similarities = queries @ captions.T
    expected = ((similarities >= 0.2) & (similarities <= 0.5)).sum(axis=1)
    counts = counts_in_range(queries, captions, 0.2, 0.5)
    np.testing.assert_array_equal(counts, expected)


def test_a_refitted_range_cuts_off_the_quantiles_of_numpy(monkeypatch):
    monkeypatch.setattr(similarity_selection, "BLOCK", 7)
    reference = unit_rows(50), unit_rows(2_000, seed=1)
    own = unit_rows(50, dim=4, seed=2), unit_rows(2_000, dim=4, seed=3)
    similarities = reference[0] @ reference[1].T
    quantiles = (similarities < 0.3).mean(), (similarities <= 0.6).mean()
    refitted = refit_range((0.3, 0.6), reference, own)
    expected = np.quantile(own[0] @ own[1].T, quantiles)
    np.testing.assert_allclose(refitted, expected, atol=5e-4)
    assert refitted != pytest.approx((0.3, 0.6), abs=0.02)
    same = refit_range((0.3, 0.6), reference, reference)
    np.testing.assert_allclose(same, (0.3, 0.6), atol=5e-4)


def test_an_impossible_range_and_rows_of_two_spaces_are_errors():
    with pytest.raises(ConfigError, match="must rise"):
        counts_in_range(unit_rows(2), unit_rows(3), 0.8, 0.7)
    with pytest.raises(ConfigError, match="must rise"):
        refit_range((0.8, 1.1), (unit_rows(2),) * 2, (unit_rows(2),) * 2)
    with pytest.raises(ValueError, match="of two spaces"):
        counts_in_range(unit_rows(2), unit_rows(3, dim=4), 0.7, 0.8)
