"""The sizes of a profile's corpora, by what is published and by its configuration."""

import pytest

from drcap.data.sources import SOURCES
from drcap.estimate.sizes import PUBLISHED, profile_sizes


def test_the_paper_has_two_million_pairs_and_450_000_captions():
    sizes = profile_sizes("paper")
    assert sizes.pairs == 403_050 + 1_660_000
    assert 450_000 < sizes.datastore < 480_000
    assert sizes.domains["ac"] == (49_274, 494, 957)
    assert sizes.target_clips == 49_274 + 3_839
    hours = sizes.seconds / 3_600
    assert hours == pytest.approx(7_569 + 4_611 + 141 + 37, rel=0.01)


def test_the_demo_has_what_its_procedural_corpora_keep():
    sizes = profile_sizes("demo")
    assert sizes.pairs == sizes.weak_captions == 3_600  # 4,000 less a tenth
    assert sizes.datastore == 3_600 + 600 + 5 * 250
    assert sizes.seconds == 10 * (4_000 + 860) + 22.5 * 490


def test_a_sample_of_the_real_datasets_takes_its_share():
    sizes = profile_sizes("demo-real")
    assert sizes.pairs == sizes.weak_captions == 20_000  # of WavCaps alone
    assert sizes.domains == profile_sizes("paper").domains
    assert sizes.seconds < profile_sizes("paper").seconds / 10


def test_the_counts_are_those_that_a_prepared_dataset_is_compared_with():
    for source, counts in SOURCES["wavcaps"].expected.items():
        assert PUBLISHED[source][0] == counts["published"]
