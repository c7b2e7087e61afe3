"""Each retrieved caption is counted for the corpora that hold it."""

import pytest
from doubles_experiments import TRAINING, WEAK, ToyMaterials

from drcap.experiments.origins import origin_shares, origins
from drcap.retrieval import Match

CORPORA = {"weak": {"rain"}, "ac": {"dog", "both"}, "cl": {"cat", "both"}}


def matches(*captions):
    return [Match(caption, 0.5) for caption in captions]


def test_the_shares_of_a_row_add_up_to_one():
    found = origin_shares(
        {"row": [matches("rain", "dog"), matches("dog", "both")]}, CORPORA, 2
    )
    assert found.loc["row"].to_dict() == pytest.approx(
        {"weak": 1 / 4, "ac": (2 + 1 / 2) / 4, "cl": 1 / 8}
    )
    assert found.loc["row"].sum() == pytest.approx(1)


def test_captions_beyond_the_prompt_do_not_count():
    found = origin_shares({"row": [matches("cat", "rain", "rain")]}, CORPORA, 1)
    assert found.loc["row", "cl"] == 1


def test_the_weak_corpus_is_what_neither_target_holds(tmp_path):
    found = origins(ToyMaterials(tmp_path, "unused"))
    assert found["scapes-weak"] == set(WEAK)
    assert found["scapes-ac"] == set(TRAINING["ac"])
    assert found["scapes-cl"] == set(TRAINING["cl"])
