import itertools

import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap.captioner import choice
from drcap.captioner.choice import Choice, ExpectedCIDErD, words
from drcap.errors import ConfigError
from drcap.evaluation import engine
from drcap.retrieval import CaptionDatastore

TEXTS = [
    "a dog barks and a dog growls",
    "a dog barks",
    "Rain falls, and a man speaks.",
    "a man speaks and rain falls on a a roof",
    "a dog barks",
    "engine",
    "birds chirp while the dog's owner speaks",
]


def cider_d(candidate, references):
    """CIDEr-D of a text with each of N references, by aac-metrics."""
    plain = [" ".join(words(text)) for text in references]
    candidates = [" ".join(words(candidate))] * len(plain)
    return np.array(engine.call("cider_d", candidates, [[t] for t in plain])[1])


@pytest.fixture(scope="module")
def datastore():
    return CaptionDatastore.build(TOY_CAPTIONS, ToyCLAP())


@pytest.mark.parametrize(
    "candidate",
    [*TEXTS, "a a a dog", "an unknown zebra and a zebra", "barks dog a", "zebra", ""],
)
def test_every_caption_is_compared_by_aac_metrics_cider_d(candidate):
    scores = ExpectedCIDErD(TEXTS)
    expected = cider_d(candidate, TEXTS)
    own = np.array([words(text) == words(candidate) for text in TEXTS])
    singly = [scores.expected([candidate], row)[0] for row in np.eye(len(TEXTS))]
    np.testing.assert_allclose(singly, np.where(own, 0, expected), atol=1e-5)


def test_the_utility_is_the_weighted_sum_without_the_own_words():
    weights = np.random.default_rng(0).random(len(TEXTS))
    candidates = [*TEXTS, "a dog growls and rain falls"]
    expected = []
    for text in candidates:
        other = [words(text) != words(reference) for reference in TEXTS]
        expected.append((weights * other) @ cider_d(text, TEXTS))
    utilities = ExpectedCIDErD(TEXTS).expected(candidates, weights)
    np.testing.assert_allclose(utilities, expected, rtol=1e-4, atol=1e-5)
    alone = ExpectedCIDErD(TEXTS).expected(candidates[-1:], weights)
    np.testing.assert_allclose(alone, utilities[-1:], rtol=1e-5)


def test_the_best_of_beams_and_nearest_captions_is_chosen(datastore, monkeypatch):
    monkeypatch.setattr(choice, "NEAREST", 5)
    queries = ToyCLAP().encode_text(["a dog barks in the rain", "an engine idles"])
    beams = [["zzz", "a dog barks"], ["the engine of a car idles", "zzz"]]
    chosen = Choice(datastore).choose(queries, beams)
    exact = queries.double().numpy() @ datastore.embeddings.T.astype(float)
    for row, texts in enumerate(beams):
        weights = np.exp(exact[row] / choice.TEMPERATURE)
        weights /= weights.sum()
        nearest = [datastore.captions[i] for i in np.argsort(-exact[row])[:5]]
        utilities = {}
        for text in [*texts, *nearest]:
            other = [words(text) != words(own) for own in datastore.captions]
            utilities[text] = (weights * other) @ cider_d(text, datastore.captions)
        assert chosen[row] == max(utilities, key=utilities.get)
    one_by_one = [
        Choice(datastore).choose(queries[row : row + 1], beams[row : row + 1])[0]
        for row in range(2)
    ]
    assert one_by_one == chosen


def test_withheld_captions_are_neither_chosen_nor_expected(datastore):
    query = ToyCLAP().encode_text(TOY_CAPTIONS[:1])
    withheld = TOY_CAPTIONS[: len(TOY_CAPTIONS) // 2]
    kept = CaptionDatastore.build(set(TOY_CAPTIONS) - set(withheld), ToyCLAP())
    chooser = Choice(datastore)
    weights = chooser.weights(query, withheld)[0]
    assert not weights[datastore.rows_of(withheld)].any()
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    assert chooser.choose(query, [[]], withheld)[0] in kept


def test_the_first_of_equal_candidates_is_chosen(datastore, monkeypatch):
    monkeypatch.setattr(choice, "NEAREST", 0)
    query = ToyCLAP().encode_text(TOY_CAPTIONS[:1])
    for beams in itertools.permutations(["qqq", "zzz"]):
        assert Choice(datastore).choose(query, [beams]) == [beams[0]]


def test_an_empty_datastore_is_an_error():
    empty = CaptionDatastore([], np.zeros((0, ToyCLAP.dim), np.float32), "toy")
    with pytest.raises(ConfigError, match="generation.choice is mbr"):
        Choice(empty)


def test_queries_that_do_not_fit_are_an_error(datastore):
    with pytest.raises(ValueError, match="expected queries of shape"):
        Choice(datastore).choose(torch.zeros(1, 3), [["a"]])
