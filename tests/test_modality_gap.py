"""The gap's measures match all pairs done one by one; its remedies do what they say."""

import itertools

import numpy as np
import pytest

from drcap.modality_gap import fixed_plane, gap_statistics, inject_noise, mean_shift

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


def test_several_captions_of_a_clip_count_one_after_the_other(pairs):
    audio, text = pairs
    several = np.stack([text, audio, text[::-1]], axis=1)  # (N, 3, D)
    each = [vars(gap_statistics(audio, several[:, r])) for r in range(3)]
    found = vars(gap_statistics(audio, several))
    for name, value in found.items():
        assert value == pytest.approx(np.mean([one[name] for one in each]))


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
    np.testing.assert_allclose(mean_shift(audio, *means, 0), audio, atol=1e-6)
    half = mean_shift(audio, *means, 0.5)
    np.testing.assert_allclose(half, unit(audio + (means[1] - means[0]) / 2), atol=1e-6)
    distances = [
        gap_statistics(mean_shift(audio, *means, amount), text).distance
        for amount in (0, 0.5, 1)
    ]
    assert distances == sorted(distances, reverse=True)


def test_the_plane_is_that_of_the_widest_spread_and_shows_two_cones(pairs):
    audio, text = fixed_plane(pairs)
    assert max(audio[:, 0]) < min(text[:, 0]) or min(audio[:, 0]) > max(text[:, 0])
    rows = np.concatenate(pairs).astype(float)
    values, vectors = np.linalg.eigh(np.cov(rows.T))  # reference
    expected = (rows - rows.mean(axis=0)) @ vectors[:, ::-1][:, :2]
    found = np.concatenate([audio, text])
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-6)
    assert np.var(found, axis=0, ddof=1) == pytest.approx(values[::-1][:2])


def test_rows_beyond_the_fitted_do_not_turn_the_plane(pairs):
    alone = fixed_plane(pairs)
    with_others = fixed_plane([*pairs, 5 * pairs[0][:3]], 2)
    for one, same in zip(alone, with_others, strict=False):
        np.testing.assert_array_equal(one, same)
    assert with_others[2].shape == (3, 2)


def test_arrays_that_are_no_pairs_are_refused(pairs):
    audio, text = pairs
    for wrong in ((audio, text[:-1]), (audio[:1], text[:1]), (audio[0], text[0])):
        with pytest.raises(ValueError, match="do not fit"):
            gap_statistics(*wrong)
