"""What people score: each caption of a clip against the clip's other captions."""

from collections.abc import Mapping, Sequence

import numpy as np

from drcap.evaluation.metrics import Scores, score_systems

HUMAN = "human captions, leave-one-out"


def scores_beside_people(
    candidates: Mapping[str, list[str]],
    mult_references: list[list[str]],
    metrics: Sequence[str] | None = None,
) -> dict[str, Scores]:
    """Score systems, and first people, as `score_systems` does with `metrics`.

    HUMAN is the mean of as many scorings as every clip has captions: the k-th captions
    are the candidates, the others their references. Systems have all as references.
    """
    turns = {}
    for k in range(min(map(len, mult_references))):
        others = [texts[:k] + texts[k + 1 :] for texts in mult_references]
        turns[f"{HUMAN}, {k}"] = [texts[k] for texts in mult_references], others
    systems = {name: (texts, mult_references) for name, texts in candidates.items()}
    scores = score_systems(turns | systems, metrics)
    people = [scores.pop(name) for name in turns]
    return {HUMAN: mean_scores(people)} | scores


def mean_scores(turns: Sequence[Scores]) -> Scores:
    """Return the mean of several scorings of the same clips, metric by metric."""
    corpus, per_clip = dict(turns[0].corpus), {}
    for metric in turns[0].per_clip:
        corpus[metric] = float(np.mean([scores.corpus[metric] for scores in turns]))
        clips = [scores.per_clip[metric] for scores in turns]
        per_clip[metric] = np.mean(clips, axis=0).tolist()
    return Scores(turns[0].clips, corpus, per_clip, turns[0].unavailable)
