from statistics import NormalDist

import numpy as np
import pytest

from drcap.evaluation import bootstrap
from drcap.evaluation.bootstrap import compare, interval, needed, spread

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
    rng = np.random.default_rng(0)
    sums = [np.array([1, 2, -3])[rng.integers(3, size=3)].sum() for _ in range(2_000)]
    expected = np.mean(np.array(sums) > 0) + np.mean(np.array(sums) == 0) / 2
    monkeypatch.setattr(bootstrap, "RESAMPLES", 2_000)
    assert compare(ours, theirs).probability == expected


def test_exchanging_the_systems_mirrors_the_comparison(scores):
    other = np.random.default_rng(6).permutation(scores) + 0.01
    one, two = compare(scores, other), compare(other, scores)
    assert one.probability == pytest.approx(1 - two.probability)
    assert one.low == pytest.approx(-two.high)


def test_every_metric_of_the_same_clips_is_resampled_alike(scores):
    found, scaled = interval(scores), interval(2 * scores + 1)
    assert scaled.low == pytest.approx(2 * found.low + 1)
    assert scaled.high == pytest.approx(2 * found.high + 1)


@pytest.mark.parametrize("values", [[], 1.0, [[[1.0]]], [1.0, np.nan], [1.0, np.inf]])
def test_scores_that_are_empty_odd_or_not_finite_are_refused(values):
    with pytest.raises(ValueError, match="scores must be"):
        interval(np.array(values))


@pytest.mark.parametrize(
    "shape, message", [((1,), "3 clips .* with 1"), ((2, 3), "1 seeds .* with 2")]
)
def test_systems_scored_on_other_clips_or_seeds_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        compare(np.ones(3), np.ones(shape))


# --- seeds ----------------------------------------------------------------------------


def simulated(rng, seeds, clips, *, of_seeds, of_clips=10.0, of_rest=12.0):
    """Scores of true mean 0 with these standard deviations, (S, N)."""
    effects = rng.normal(0, of_seeds, (seeds, 1)) + rng.normal(0, of_clips, (1, clips))
    return effects + rng.normal(0, of_rest, (seeds, clips))


def test_resampled_means_are_those_of_a_plain_loop(monkeypatch):
    """Two sets of clips: the same seeds are drawn for both, the clips for each."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 300)
    rng = np.random.default_rng(7)
    blocks = [simulated(rng, 3, 20, of_seeds=8.0), simulated(rng, 3, 30, of_seeds=8.0)]
    between = spread(blocks).seeds
    assert between > 0
    of_seeds = np.mean([block.mean(axis=1) for block in blocks], axis=0)
    effects = of_seeds - of_seeds.mean()
    effects *= between**0.5 / effects.std()
    generators = [np.random.default_rng(k) for k in range(3)]
    expected = []
    for _ in range(300):
        drawn = [
            block[:, generators[k].integers(block.shape[1], size=block.shape[1])].mean()
            for k, block in enumerate(blocks)
        ]
        seeds = generators[2].integers(3, size=3)
        expected.append(np.mean(drawn) + np.mean([effects[k] for k in seeds]))
    expected = np.array(expected)
    found, _ = bootstrap._resampled(blocks)
    widened = (found - of_seeds.mean()) / (expected - of_seeds.mean())
    assert widened == pytest.approx(widened[0]) and widened[0] > 1


@pytest.mark.parametrize("of_seeds, least", [(0.0, 0.93), (1.0, 0.91), (4.0, 0.86)])
def test_about_95_in_100_intervals_over_three_seeds_hold_the_true_mean(
    of_seeds, least, monkeypatch
):
    """Clips alone would hold it in 59 of 100 where seeds differ most."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    rng = np.random.default_rng(3)
    samples = [simulated(rng, 3, 100, of_seeds=of_seeds) for _ in range(300)]
    found = [interval(each) for each in samples]
    held = np.mean([each.low <= 0 <= each.high for each in found])
    assert least < held <= 1
    if of_seeds == 4:
        alone = [interval(each.mean(axis=0)) for each in samples]
        assert np.mean([each.low <= 0 <= each.high for each in alone]) < held - 0.15


def test_an_interval_says_what_it_covers(scores):
    assert interval(scores).covers == "clips alone"
    assert interval(scores[None]) == interval(scores)
    three = interval(np.stack([scores, scores + 0.1, scores - 0.1]))
    assert three.covers == "clips and 3 seeds"
    assert width(three) > width(interval(scores))


@pytest.mark.parametrize("scale", np.linspace(0.1, 1, 20))
@pytest.mark.filterwarnings("error")
def test_seeds_that_score_alike_count_as_one(scores, scale):
    """A floor draws nothing; the mean of three equal scores may be rounded."""
    one, three = scale * scores, scale * np.tile(scores, (3, 1))
    found, alone = interval(three), interval(one)
    assert spread([three]).seeds == 0.0
    assert [found.low, found.high] == pytest.approx([alone.low, alone.high])


def test_the_variances_are_those_that_were_simulated():
    rng = np.random.default_rng(4)
    found = spread([simulated(rng, 40, 4_000, of_seeds=2.0, of_clips=5.0, of_rest=3.0)])
    assert found.seeds == pytest.approx(4, rel=0.4)
    assert found.clips == pytest.approx(25, rel=0.1)
    assert found.rest == pytest.approx(9, rel=0.1)
    halves = spread([simulated(rng, 2, 4_000, of_seeds=0.0) for _ in range(2)])
    assert halves.clips == pytest.approx(50, rel=0.1)  # two sets of as many clips


@pytest.mark.parametrize("seeds", [1, 3])
def test_as_many_clips_and_seeds_as_are_needed_show_the_effect(seeds, monkeypatch):
    monkeypatch.setattr(bootstrap, "RESAMPLES", 500)
    rng = np.random.default_rng(6)
    pilot = simulated(rng, seeds, 200, of_seeds=0.0)
    clips, repeated = needed([pilot - pilot.mean() + 1.0])
    assert clips > 200
    shown = [
        interval(simulated(rng, repeated, clips, of_seeds=0.0) + 1.0).low > 0
        for _ in range(100)
    ]
    assert 0.6 < np.mean(shown) < 0.95


def test_no_number_of_clips_makes_up_for_no_effect():
    pilot = np.random.default_rng(8).normal(0, 10, (3, 50))
    assert needed([pilot - pilot.mean()]) is None


def test_systems_are_equivalent_if_the_difference_lies_within_the_margin(scores):
    noise = np.random.default_rng(9).normal(0, 0.02, CLIPS)
    other = scores + noise - noise.mean() + 0.001
    assert compare(other, scores, margin=0.05).p_value < 0.01
    assert compare(other, scores, margin=0.0005).p_value > 0.5
    assert compare(other + 0.2, scores, margin=0.05).p_value > 0.99
    assert compare(other + 0.2, scores).p_value < 0.01
