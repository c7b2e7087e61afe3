"""Projection equals equation 4 in float64, at once or in blocks, at any temperature."""

import math

import numpy as np
import pytest
import torch

from drcap.errors import ConfigError
from drcap.projection import project, top_support


def unit_rows(count, dim=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, dim, generator=generator)
    return torch.nn.functional.normalize(rows, dim=1)


def weights_by_formula(queries, support, tau):
    """Equation 4's softmax over the whole support in float64."""
    logits = queries.numpy().astype(np.float64) @ support.numpy().astype(np.float64).T
    logits = logits / tau
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("tau", [0.005, 0.1, 50.0])
@pytest.mark.parametrize("block_size", [None, 1, 7, 101, 8192])
def test_projection_equals_the_formula_in_float64(tau, block_size):
    queries, support = unit_rows(6, seed=1), unit_rows(101)
    expected = weights_by_formula(queries, support, tau) @ support.numpy()
    projected = project(queries, support, tau, block_size=block_size)
    assert projected.dtype == torch.float32
    np.testing.assert_allclose(projected.numpy(), expected, atol=2e-5)


@pytest.mark.parametrize("block_size", [None, 10])
@pytest.mark.parametrize("tau", [1e-6, 1e-30, 1e-300])
def test_a_vanishing_temperature_gives_the_nearest_row(tau, block_size):
    queries, support = unit_rows(6, seed=1), unit_rows(101)
    nearest = support[(queries @ support.T).argmax(dim=1)]
    projected = project(queries, support, tau, block_size=block_size)
    torch.testing.assert_close(projected, nearest)


@pytest.mark.parametrize("block_size", [None, 10])
@pytest.mark.parametrize("tau", [1e8, 1e300, math.inf])
def test_an_endless_temperature_gives_the_plain_mean(tau, block_size):
    queries, support = unit_rows(6, seed=1), unit_rows(101)
    mean = support.mean(dim=0).expand(6, -1)
    projected = project(queries, support, tau, block_size=block_size)
    torch.testing.assert_close(projected, mean)


def test_a_support_row_at_low_temperature_returns_itself():
    support = unit_rows(101)
    torch.testing.assert_close(project(support, support, 1e-4), support)


def test_a_projection_lies_inside_the_unit_ball_or_on_it_if_renormalised():
    queries, support = unit_rows(6, seed=1), unit_rows(101)
    plain = project(queries, support, 0.1)
    unit = project(queries, support, 0.1, renormalise=True)
    assert (plain.norm(dim=1) < 1).all()
    torch.testing.assert_close(unit, torch.nn.functional.normalize(plain, dim=1))


@pytest.mark.parametrize("block_size", [None, 64])
def test_half_precision_inputs_are_summed_in_float32(block_size):
    queries, support = unit_rows(6, seed=1).bfloat16(), unit_rows(5000).bfloat16()
    projected = project(queries, support, 0.2, block_size=block_size)
    expected = project(queries.float(), support.float(), 0.2)
    assert projected.dtype == torch.float32
    torch.testing.assert_close(projected, expected, atol=1e-6, rtol=0)


class CountingSupport:
    """A support of N rows that makes each block when it is read, and keeps none."""

    def __init__(self, rows, dim):
        self.shape = (rows, dim)
        self.largest_block = 0

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, part):
        start, stop, _ = part.indices(len(self))
        self.largest_block = max(self.largest_block, stop - start)
        return unit_rows(stop - start, self.shape[1], seed=start)


def test_a_support_larger_than_one_pass_may_take_is_never_read_in_whole(monkeypatch):
    support = CountingSupport(100_000, 4)
    monkeypatch.setattr("drcap.projection.ONE_PASS", 4 * 4 * 100_000 - 1)
    project(unit_rows(2, 4), support, 0.05)
    assert support.largest_block == 8192


@pytest.mark.parametrize("block_size", [1, 7, 101])
def test_top_support_gives_the_largest_weights_of_the_formula(block_size, monkeypatch):
    queries, support = unit_rows(6, seed=1), unit_rows(101)
    expected = weights_by_formula(queries, support, 0.05)
    monkeypatch.setattr("drcap.projection.BLOCK", block_size)
    weights, rows = top_support(queries, support, 0.05, 4)
    order = np.argsort(-expected, axis=1)[:, :4]
    np.testing.assert_array_equal(rows.numpy(), order)
    np.testing.assert_allclose(
        weights.numpy(), np.take_along_axis(expected, order, axis=1), rtol=1e-4
    )


def test_top_support_of_more_than_all_gives_all():
    weights, rows = top_support(unit_rows(2, seed=1), unit_rows(5), 0.1, 9)
    assert rows.shape == (2, 5)
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(2))


@pytest.mark.parametrize("tau", [0, -1, math.nan])
def test_an_impossible_temperature_is_refused(tau):
    with pytest.raises(ConfigError, match="temperature is"):
        project(unit_rows(2), unit_rows(5), tau)


def test_an_empty_support_is_refused():
    with pytest.raises(ConfigError, match="support is empty"):
        project(unit_rows(2), torch.empty(0, 12), 0.1)


@pytest.mark.parametrize("queries", [unit_rows(2, 11), unit_rows(2)[0]])
def test_shapes_that_do_not_fit_are_refused(queries):
    with pytest.raises(ValueError, match="do not fit"):
        project(queries, unit_rows(5), 0.1)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_is_refused_on_either_side(value):
    spoilt = unit_rows(5)
    spoilt[3, 2] = value
    with pytest.raises(ValueError, match="audio embeddings hold NaN"):
        project(spoilt, unit_rows(5), 0.1)
    for block_size in (None, 2):
        with pytest.raises(ValueError, match="support holds NaN"):
            project(unit_rows(5), spoilt, 0.1, block_size=block_size)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an accelerator")
@pytest.mark.parametrize("block_size", [None, 16])
def test_projection_runs_where_the_audio_embeddings_are(block_size):
    queries, support = unit_rows(6, seed=1), unit_rows(101)
    projected = project(queries.cuda(), support.numpy(), 0.05, block_size=block_size)
    assert projected.is_cuda
    torch.testing.assert_close(
        projected.cpu(), project(queries, support, 0.05), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("block_size", [None, 16])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_support_may_be_a_map_of_a_file(tmp_path, dtype, block_size):
    queries, support = unit_rows(6, seed=1), unit_rows(101).numpy().astype(dtype)
    np.save(tmp_path / "support.npy", support)
    in_memory = torch.from_numpy(support)
    expected = project(queries, in_memory, 0.05, block_size=block_size)
    for mode in ("r", "c"):  # of a file that may only be read, and as datastores do
        mapped = np.load(tmp_path / "support.npy", mmap_mode=mode)
        projected = project(queries, mapped, 0.05, block_size=block_size)
        assert torch.equal(projected, expected)
