"""The gap's measures match all pairs done one by one; its remedies do what they say."""

import itertools

import numpy as np
import pytest

from drcap.modality_gap import (
    along_gap,
    bridges,
    gap_statistics,
    inject_noise,
    mean_shift,
    planes,
    sampled_cosines,
)

COUNT, DIM = 40, 16


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@pytest.fixture
def pairs():
    """Two cones: common content, and an offset that belongs to the modality."""
    draw = np.random.default_rng(0)
    content = draw.standard_normal((COUNT, DIM))
    offset = 3 * draw.standard_normal((2, DIM))
    audio = unit(content + offset[0]).astype(np.float32)
    return audio, unit(content + offset[1]).astype(np.float32)


def test_the_statistics_are_those_of_all_pairs(pairs):
    audio, text = pairs
    found = gap_statistics(audio, text)
    others = list(itertools.permutations(range(COUNT), 2))
    assert found.distance == pytest.approx(
        np.linalg.norm(audio.mean(axis=0) - text.mean(axis=0)), abs=1e-6
    )
    assert found.paired == pytest.approx(
        np.mean([audio[i] @ text[i] for i in range(COUNT)]), abs=1e-6
    )
    assert found.unpaired == pytest.approx(
        np.mean([audio[i] @ text[j] for i, j in others]), abs=1e-6
    )
    assert found.within_audio == pytest.approx(
        np.mean([audio[i] @ audio[j] for i, j in others]), abs=1e-6
    )
    assert found.within_text == pytest.approx(
        np.mean([text[i] @ text[j] for i, j in others]), abs=1e-6
    )


def test_the_same_rows_have_no_gap(pairs):
    found = gap_statistics(pairs[0], pairs[0])
    assert found.distance == 0
    assert found.paired == pytest.approx(1)
    assert found.unpaired == pytest.approx(found.within_audio)


def test_sampled_cosines_have_the_means_of_all_pairs(pairs):
    sampled = sampled_cosines(*pairs, pairs=20_000)
    found = gap_statistics(*pairs)
    paired = np.sum(pairs[0] * pairs[1], axis=1)
    np.testing.assert_allclose(sampled["paired"], paired, atol=1e-6)
    assert sampled["unpaired"].mean() == pytest.approx(found.unpaired, abs=0.01)
    assert sampled["within audio"].mean() == pytest.approx(found.within_audio, abs=0.01)
    assert sampled["within text"].mean() == pytest.approx(found.within_text, abs=0.01)


def test_no_row_is_sampled_with_itself(pairs):
    sampled = sampled_cosines(*pairs)
    assert sampled["within audio"].max() < 1 - 1e-6


def test_the_sample_is_a_matter_of_the_seed(pairs):
    one, same, other = (sampled_cosines(*pairs, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one["unpaired"], same["unpaired"])
    assert not np.array_equal(one["unpaired"], other["unpaired"])


def test_mean_shift_closes_most_of_the_gap_and_keeps_unit_norms(pairs):
    audio, text = pairs
    shifted = mean_shift(audio, audio.mean(axis=0), text.mean(axis=0))
    expected = unit(audio - audio.mean(axis=0) + text.mean(axis=0))
    np.testing.assert_allclose(shifted, expected, atol=1e-6)
    assert shifted.dtype == np.float32
    before, after = gap_statistics(audio, text), gap_statistics(shifted, text)
    assert after.distance < 0.2 * before.distance
    assert after.paired > before.paired


def test_noise_has_the_spread_asked_for_before_it_is_renormalised():
    text = np.tile(unit(np.arange(1.0, 513.0)), (200, 1))
    noisy = inject_noise(text, 0.05, seed=3)
    np.testing.assert_allclose(np.linalg.norm(noisy, axis=1), 1, atol=1e-6)
    # reference: cos = 1 / sqrt(1 + D std^2) as D grows, noise being orthogonal
    expected = 1 / np.sqrt(1 + 512 * 0.05**2)
    assert np.sum(noisy * text, axis=1).mean() == pytest.approx(expected, abs=0.01)


def test_noise_is_a_matter_of_the_seed(pairs):
    text = pairs[1]
    np.testing.assert_array_equal(
        inject_noise(text, 0.1, 1), inject_noise(text, 0.1, 1)
    )
    assert not np.array_equal(inject_noise(text, 0.1, 1), inject_noise(text, 0.1, 2))
    np.testing.assert_allclose(inject_noise(text, 0.0), text, atol=1e-6)


def test_negative_noise_is_refused(pairs):
    with pytest.raises(ValueError, match="must not be negative"):
        inject_noise(pairs[1], -0.1)


def test_moving_along_the_gap_starts_here_and_ends_at_the_mean_shift(pairs):
    audio, text = pairs
    means = audio.mean(axis=0), text.mean(axis=0)
    direction = means[1] - means[0]
    np.testing.assert_allclose(along_gap(audio, direction, 0), audio, atol=1e-6)
    np.testing.assert_allclose(
        along_gap(audio, direction, 1), mean_shift(audio, *means), atol=1e-6
    )
    one = along_gap(audio[0], direction, 0.5)
    assert one.shape == (DIM,) and np.linalg.norm(one) == pytest.approx(1, abs=1e-6)


def test_each_bridge_moves_one_side_as_its_formula_says(pairs):
    audio, text = pairs
    means = audio.mean(axis=0), text.mean(axis=0)
    found = bridges(audio, text, *means, text, temperature=0.1, seed=5)
    np.testing.assert_array_equal(found["none"][0], audio)
    np.testing.assert_array_equal(found["mean shift"][0], mean_shift(audio, *means))
    gap = np.linalg.norm(means[1] - means[0])
    noisy = inject_noise(text, gap / DIM**0.5, seed=5)
    np.testing.assert_array_equal(found["noise injection"][1], noisy)
    weights = np.exp(audio.astype(float) @ text.T / 0.1)  # eq. 4
    projected = unit(weights @ text / weights.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found["projection"][0], projected, atol=1e-5)
    for name in ("mean shift", "projection"):
        np.testing.assert_array_equal(found[name][1], text)


def test_the_planes_are_the_same_every_time_and_show_two_cones(pairs):
    first, again = planes(*pairs), planes(*pairs)
    assert set(first) == {"PCA", "t-SNE"}
    for name, points in first.items():
        assert points.shape == (2 * COUNT, 2)
        np.testing.assert_array_equal(points, again[name])
    along = first["PCA"][:, 0]  # the widest spread here is that of the modalities
    assert max(along[:COUNT]) < min(along[COUNT:]) or min(along[:COUNT]) > max(
        along[COUNT:]
    )
    rows = np.concatenate(pairs).astype(float)
    axes = np.linalg.svd(rows - rows.mean(axis=0))[2][:2]  # reference
    expected = (rows - rows.mean(axis=0)) @ axes.T
    np.testing.assert_allclose(np.abs(first["PCA"]), np.abs(expected), atol=1e-6)


@pytest.mark.parametrize("measure", (gap_statistics, sampled_cosines, planes))
def test_arrays_that_are_no_pairs_are_refused(pairs, measure):
    audio, text = pairs
    for wrong in ((audio, text[:-1]), (audio[:1], text[:1]), (audio[0], text[0])):
        with pytest.raises(ValueError, match="do not fit"):
            measure(*wrong)
