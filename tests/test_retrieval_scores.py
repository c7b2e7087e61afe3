"""Retrieval scores are those of a ranking done one query at a time."""

import numpy as np
import pytest

from drcap.evaluation import retrieval_scores as module
from drcap.evaluation.retrieval_scores import chance, own_places, retrieval_scores

CLIPS, DIM = 30, 8


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def embeddings():
    """Thirty clips, one to three captions each, in mixed order and rather noisy."""
    draw = np.random.default_rng(0)
    clip_of_text = draw.permutation(np.repeat(np.arange(CLIPS), [1, 2, 3] * 10))
    audio = unit(draw.standard_normal((CLIPS, DIM)))
    noise = draw.standard_normal((len(clip_of_text), DIM))
    return audio, unit(audio[clip_of_text] + 0.5 * noise), clip_of_text


def brute_force(queries, clip_of_query, items, clip_of_item):
    found, averages = {1: 0, 5: 0, 10: 0}, []
    for query, clip in zip(queries, clip_of_query, strict=True):
        order = sorted(range(len(items)), key=lambda row: -(query @ items[row]))
        right = [clip_of_item[row] == clip for row in order]
        for k in found:
            found[k] += any(right[:k])
        hits = [place for place in range(10) if right[place]]
        precisions = [(number + 1) / (place + 1) for number, place in enumerate(hits)]
        averages.append(sum(precisions) / min(sum(right), 10))
    recalls = {f"R@{k}": count / len(queries) for k, count in found.items()}
    return recalls | {"mAP@10": np.mean(averages)}


@pytest.mark.parametrize("block", (1, 7, 1024))
def test_both_directions_match_brute_force_whatever_the_blocks(
    embeddings, block, monkeypatch
):
    monkeypatch.setattr(module, "BLOCK", block)
    audio, text, clip_of_text = embeddings
    scores = retrieval_scores(audio, text, clip_of_text)
    clips = np.arange(CLIPS)
    there = brute_force(audio, clips, text, clip_of_text)
    back = brute_force(text, clip_of_text, audio, clips)
    assert scores["audio_to_text"] == pytest.approx(there)
    assert scores["text_to_audio"] == pytest.approx(back)
    assert 0 < there["R@1"] < there["R@10"] < 1  # neither trivial nor hopeless
    places = own_places(audio, text, clip_of_text)
    for k in (1, 5, 10):
        assert (places <= k).mean() == pytest.approx(there[f"R@{k}"])


@pytest.mark.parametrize("captions", (5, 15))  # also more than the ten looked at
def test_perfect_embeddings_score_one(captions):
    audio = np.eye(12, dtype=np.float32)
    clip_of_text = np.repeat(np.arange(12), captions)
    scores = retrieval_scores(audio, audio[clip_of_text], clip_of_text)
    values = [value for each in scores.values() for value in each.values()]
    assert values == [1.0] * 8


def test_ties_rank_in_the_order_of_the_rows():
    rows = np.ones((20, 1), dtype=np.float32)
    scores = retrieval_scores(rows, rows, np.arange(20))
    # row i comes at place i + 1 for every query
    assert scores["audio_to_text"]["R@1"] == 1 / 20
    assert scores["text_to_audio"]["R@5"] == 5 / 20
    reciprocal = sum(1 / place for place in range(1, 11)) / 20
    assert scores["audio_to_text"]["mAP@10"] == pytest.approx(reciprocal)


def test_fewer_than_ten_clips_can_be_scored():
    audio = np.eye(3, dtype=np.float32)
    scores = retrieval_scores(audio, audio[[1, 2, 0]], np.array([0, 1, 2]))
    assert scores["text_to_audio"]["R@1"] == 0
    assert scores["text_to_audio"]["R@5"] == 1


@pytest.mark.parametrize("captions", (1, 5))
def test_chance_is_what_random_embeddings_score(captions):
    draw = np.random.default_rng(1)
    clips, trials = 40, 40
    clip_of_text = np.repeat(np.arange(clips), captions)
    rows = [
        retrieval_scores(
            unit(draw.standard_normal((clips, 16))),
            unit(draw.standard_normal((clips * captions, 16))),
            clip_of_text,
        )
        for _ in range(trials)
    ]
    expected = chance(clips, captions)
    for direction, values in expected.items():
        for name, value in values.items():
            measured = np.mean([scores[direction][name] for scores in rows])
            assert measured == pytest.approx(value, abs=0.035), (direction, name)


def test_chance_is_certain_where_everything_is_looked_at():
    assert chance(4)["text_to_audio"] == {"R@1": 0.25, "R@5": 1.0, "R@10": 1.0}
    assert chance(4)["audio_to_text"]["R@5"] == 1.0


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda a, t, c: (a[:, :4], t, c), "do not fit"),
        (lambda a, t, c: (a, t, c[:-1]), "names no clip for each"),
        (lambda a, t, c: (a, t, np.where(c == 3, 4, c)), "needs a caption"),
        (lambda a, t, c: (a, t, np.where(c == 3, CLIPS, c)), "needs a caption"),
        (lambda a, t, c: (a * np.nan, t, c), "NaN"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(embeddings, change, message):
    with pytest.raises(ValueError, match=message):
        retrieval_scores(*change(*embeddings))
