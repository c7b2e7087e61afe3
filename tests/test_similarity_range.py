import numpy as np
import pytest

from drcap.errors import ConfigError
from drcap.retrieval import similarity_range
from drcap.retrieval.similarity_range import (
    counts_in_range,
    range_at,
    range_quantiles,
    refit_range,
)


def rows(count, dim=8, seed=0):
    found = np.random.default_rng(seed).standard_normal((count, dim))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(similarity_range, "BLOCK", 7)


def test_the_captions_in_range_are_counted_for_each_query():
    queries, captions = rows(20), rows(300, seed=1)
    similarities = queries @ captions.T
    expected = ((similarities >= 0.2) & (similarities <= 0.5)).sum(axis=1)
    np.testing.assert_array_equal(
        counts_in_range(queries, captions, 0.2, 0.5), expected
    )


def test_a_range_and_its_quantiles_lead_to_each_other():
    queries, captions = rows(20), rows(3_000, seed=1)
    quantiles = range_quantiles(queries, captions, 0.2, 0.5)
    similarities = (queries @ captions.T).ravel()
    expected = [(similarities < 0.2).mean(), (similarities <= 0.5).mean()]
    np.testing.assert_allclose(quantiles, expected, atol=1e-4)
    np.testing.assert_allclose(
        range_at(queries, captions, quantiles), (0.2, 0.5), atol=5e-4
    )
    np.testing.assert_allclose(
        range_at(queries, captions, (0.1, 0.9)),
        np.quantile(similarities, (0.1, 0.9)),
        atol=5e-4,
    )


def test_a_refitted_range_holds_as_many_captions_in_the_other_space():
    reference = rows(50), rows(2_000, seed=1)
    wider = rows(50, dim=4, seed=2), rows(2_000, dim=4, seed=3)
    low, high = refit_range((0.3, 0.6), reference, wider)
    found = counts_in_range(*wider, low, high).mean()
    assert found == pytest.approx(
        counts_in_range(*reference, 0.3, 0.6).mean(), rel=0.03
    )
    assert (low, high) != pytest.approx((0.3, 0.6), abs=0.02)


def test_an_impossible_range_and_rows_of_two_spaces_are_errors():
    with pytest.raises(ConfigError, match="must rise"):
        counts_in_range(rows(2), rows(3), 0.8, 0.7)
    with pytest.raises(ValueError, match="of two spaces"):
        counts_in_range(rows(2), rows(3, dim=4), 0.7, 0.8)
