from statistics import NormalDist

import numpy as np
import pytest

from drcap.evaluation import bootstrap
from drcap.evaluation.bootstrap import compare, interval

CLIPS = 400


@pytest.fixture
def scores():
    return np.random.default_rng(1).gamma(2.0, 0.3, CLIPS)


def width(found):
    return found.high - found.low


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_many_clips_give_the_interval_of_the_normal_approximation(
    scores, level, monkeypatch
):
    monkeypatch.setattr(bootstrap, "LEVEL", level)
    found = interval(scores)
    reach = NormalDist().inv_cdf((1 + level) / 2) * scores.std() / CLIPS**0.5
    assert found.mean == pytest.approx(scores.mean())
    assert found.low == pytest.approx(scores.mean() - reach, abs=0.1 * reach)
    assert found.high == pytest.approx(scores.mean() + reach, abs=0.1 * reach)


def test_the_bounds_are_percentiles_of_the_resampled_means(monkeypatch):
    """Two clips: the mean is 0, 1/2 or 1 with probability 1/4, 1/2 and 1/4."""
    for level, low, high in ((0.4, 0.5, 0.5), (0.6, 0.0, 1.0)):
        monkeypatch.setattr(bootstrap, "LEVEL", level)
        found = interval(np.array([0.0, 1.0]))
        assert (found.low, found.mean, found.high) == (low, 0.5, high)


def test_about_nine_in_ten_intervals_of_level_nine_tenths_hold_the_true_mean(
    monkeypatch,
):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    monkeypatch.setattr(bootstrap, "LEVEL", 0.9)
    samples = np.random.default_rng(2).normal(3.0, 1.0, (300, 60))
    found = [interval(each) for each in samples]
    held = np.mean([each.low <= 3.0 <= each.high for each in found])
    assert 0.84 < held < 0.95  # three standard errors are 0.05


def test_pairing_clips_narrows_the_interval_of_correlated_systems(scores):
    noise = np.random.default_rng(3).normal(0.02, 0.05, CLIPS)
    paired = compare(scores + noise, scores)
    unpaired = compare(scores + noise, np.random.default_rng(4).permutation(scores))
    assert width(paired) < 0.2 * width(unpaired)
    assert paired.mean == pytest.approx(noise.mean())
    assert paired.low == pytest.approx(interval(noise).low)
    assert paired.probability > 0.999 > unpaired.probability


def test_the_probability_is_that_of_a_normal_difference(scores):
    noise = np.random.default_rng(5).normal(0.0, 0.05, CLIPS)
    noise += 0.002 - noise.mean()
    expected = NormalDist().cdf(0.002 / (noise.std() / CLIPS**0.5))
    assert compare(scores + noise, scores).probability == pytest.approx(
        expected, abs=0.02
    )


def test_identical_systems_are_level(scores):
    found = compare(scores, scores.copy())
    assert found.probability == 0.5
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_ties_count_half_in_spite_of_rounding(monkeypatch):
    """+0.1, +0.2 and -0.3 sum to 5e-17: one draw of each is a tie, not a win."""
    ours, theirs = np.array([0.1, 0.2, 0.0]), np.array([0.0, 0.0, 0.3])
    draws = np.random.default_rng(0).integers(3, size=(2_000, 3))
    sums = np.array([1, 2, -3])[draws].sum(axis=1)
    expected = np.mean(sums > 0) + np.mean(sums == 0) / 2
    monkeypatch.setattr(bootstrap, "RESAMPLES", 2_000)
    assert compare(ours, theirs).probability == expected


def test_exchanging_the_systems_mirrors_the_comparison(scores):
    other = np.random.default_rng(6).permutation(scores) + 0.01
    one, two = compare(scores, other), compare(other, scores)
    assert one.probability == pytest.approx(1 - two.probability)
    assert one.low == pytest.approx(-two.high)


def test_one_seed_gives_one_result_and_another_seed_another(scores):
    assert interval(scores, seed=3) == interval(scores, seed=3)
    assert interval(scores, seed=3) != interval(scores, seed=4)


def test_every_metric_of_the_same_clips_is_resampled_alike(scores):
    found, scaled = interval(scores), interval(2 * scores + 1)
    assert scaled.low == pytest.approx(2 * found.low + 1)
    assert scaled.high == pytest.approx(2 * found.high + 1)


def test_the_size_of_a_block_does_not_change_the_result(scores, monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 200)
    expected = interval(scores)
    for block in (1, 3 * CLIPS + 1, 1 << 30):
        monkeypatch.setattr(bootstrap, "BLOCK", block)
        assert interval(scores) == expected


@pytest.mark.parametrize("values", [[], [[1.0]], 1.0, [1.0, np.nan], [1.0, np.inf]])
def test_scores_that_are_empty_odd_or_not_finite_are_refused(values):
    with pytest.raises(ValueError, match="scores must be"):
        interval(np.array(values))


def test_systems_scored_on_other_clips_are_refused():
    with pytest.raises(ValueError, match="3 clips cannot be paired with 1"):
        compare(np.ones(3), np.ones(1))
