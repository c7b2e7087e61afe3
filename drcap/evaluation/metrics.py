"""Caption metrics (sec. III-B): METEOR, CIDEr-D, SPICE, SPIDEr, FENSE and others.

In go candidates and their references, out come corpus and per-clip scores, as
aac-metrics defines them. A metric that cannot be computed is reported with its reason,
is never replaced, and takes no other down. Checked against known scores of aac-metrics'
example files and against the formulas. To add a metric, write one function of `Texts`
and name it in METRICS.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import chain, islice, product

import numpy as np
from tqdm import tqdm

from drcap.errors import AssetError, MetricError, check_choice
from drcap.evaluation import engine, java
from drcap.evaluation.engine import Score
from drcap.evaluation.spice import spice

SBERT_SIM = "sbert_sim[all-mpnet-base-v2]"  # a judge that has no part in the method
SHUFFLED = "cider_d_shuffled"  # what captions score on clips that are not theirs
BLEU = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
HUMAN = "human captions, leave-one-out"
PENALTY = 0.9  # of a faulty candidate's score, in FENSE and SPIDEr-FL


@dataclass(frozen=True)
class Scores:
    """Scores of one system on one set of clips, as aac-metrics scales them."""

    clips: int
    corpus: dict[str, float | None] = field(default_factory=dict)  # None: unavailable
    per_clip: dict[str, list[float]] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)  # metric: reason, remedy


@dataclass(frozen=True)
class Texts:
    """B candidates with their references; each metric of them is computed once."""

    candidates: list[str]  # B
    mult_references: list[list[str]]  # B lists of one or more
    known: dict[str, Score | Exception] = field(default_factory=dict)

    @cached_property
    def tokenised(self) -> tuple[list[str], list[list[str]]]:
        """Both after the PTB tokeniser; MetricError or AssetError if it cannot run."""
        words = iter(engine.ptb_tokenise([*chain.from_iterable(self.mult_references)]))
        mult_references = []
        for clip, references in enumerate(self.mult_references):
            mult_references.append([next(words) for _ in references])
            for text, tokens in zip(references, mult_references[-1], strict=True):
                if not tokens:
                    raise MetricError(
                        f"clip {clip}: the reference {text!r} has no words"
                    )
        return engine.ptb_tokenise(self.candidates), mult_references

    def score(self, name: str) -> Score:
        """Return one of METRICS; MetricError or AssetError says why it has no value."""
        if name not in self.known:
            try:
                self.known[name] = METRICS[name](self)
            except (AssetError, MetricError) as error:
                self.known[name] = error
        if isinstance(known := self.known[name], Exception):
            raise known
        return known


def cider_d(texts: Texts) -> Score:
    """CIDEr-D; with one clip every n-gram is in every clip and weighs nothing."""
    if len(texts.candidates) < 2:
        raise MetricError("CIDEr-D needs at least two clips")
    return lexical("cider_d", texts)


def spider(texts: Texts) -> Score:
    """SPIDEr (Liu et al. 2017): the mean of CIDEr-D and SPICE."""
    cider, graphs = texts.score("cider_d"), texts.score("spice")
    clips = [(one + other) / 2 for one, other in zip(cider[1], graphs[1], strict=True)]
    return (cider[0] + graphs[0]) / 2, clips


def cider_d_shuffled(texts: Texts) -> Score:
    """CIDEr-D of the same candidates, dealt out so that no clip keeps its own.

    A captioner whose CIDEr-D is no higher does not listen.
    """
    texts.score("cider_d")  # else the same reason holds here
    candidates, mult_references = texts.tokenised
    order = np.random.default_rng(0).permutation(len(candidates))
    dealt = dict(zip(order, np.roll(order, 1), strict=True))
    shuffled = [candidates[dealt[clip]] for clip in range(len(candidates))]
    return engine.call("cider_d", shuffled, mult_references)


def vocab(texts: Texts) -> Score:
    """Count distinct words, over all candidates and in each."""
    words = [set(candidate.split()) for candidate in texts.tokenised[0]]
    return float(len(set().union(*words))), [float(len(own)) for own in words]


def lexical(name: str, texts: Texts) -> Score:
    """Compare words: the aac-metrics function `name`, which needs tokens alone."""
    return engine.call(name, *texts.tokenised)


def sbert_sim(asset: str, texts: Texts) -> Score:
    """Mean cosine between the candidate's and its references' sentence embeddings."""
    from drcap.evaluation import fluency  # imports transformers, in seconds

    return fluency.similarity(asset, texts.candidates, texts.mult_references)


def fer(texts: Texts) -> Score:
    """Return the share of candidates with a fluency error; lower is better."""
    from drcap.evaluation import fluency

    return fluency.error_rate(texts.candidates)


def penalised(scores: Score, texts: Texts) -> Score:
    """Take nine tenths off the scores of candidates with a fluency error."""
    pairs = zip(scores[1], texts.score("fer")[1], strict=True)
    return engine.mean([value * (1 - PENALTY * faulty) for value, faulty in pairs])


METRICS: dict[str, Callable[[Texts], Score]] = {  # in the order of a paper's table
    "meteor": lambda texts: java.meteor(*texts.tokenised),
    "cider_d": cider_d,
    "spice": lambda texts: engine.mean(spice(*texts.tokenised)),
    "spider": spider,
    "fense": lambda texts: penalised(sbert_sim("fense-tinybert", texts), texts),
    SBERT_SIM: partial(sbert_sim, "all-mpnet-base-v2"),
    "rouge_l": partial(lexical, "rouge_l"),
    **{name: partial(lexical, name) for name in BLEU},
    "spider_fl": lambda texts: penalised(texts.score("spider"), texts),
    "fer": fer,
    "vocab": vocab,
    SHUFFLED: cider_d_shuffled,
}
WITH_SPICE = {"spice", "spider", "spider_fl"}


def check_names(metrics: Sequence[str]) -> None:
    """Raise MetricError naming a metric that does not exist, and those that do."""
    for name in metrics:
        check_choice("metric", name, METRICS, MetricError)


def score(
    candidates: list[str],
    mult_references: list[list[str]],
    metrics: Sequence[str] | None = None,
) -> Scores:
    """Score B candidates of one system, as `score_systems` does those of several."""
    [scores] = score_systems({"": (candidates, mult_references)}, metrics).values()
    return scores


def score_systems(
    systems: Mapping[str, tuple[list[str], list[list[str]]]],
    metrics: Sequence[str] | None = None,
) -> dict[str, Scores]:
    """Score the systems of a table, each by itself; Java and SPICE start once for all.

    systems : name -> B candidates and their B lists of references
    metrics : names in METRICS. Left out, all are tried, and one that cannot be computed
        here is None in `corpus` with its reason in `unavailable`; one asked for by name
        raises MetricError instead.

    An empty candidate matches nothing and is no error. ValueError if a candidate or
    reference is not text, or a clip has no reference.
    """
    for pair in systems.values():
        _check_texts(*pair)
    check_names(metrics or ())
    wanted = metrics or tuple(METRICS)
    engine.functional()
    texts = {name: Texts(*pair) for name, pair in systems.items()}
    if len(systems) > 1 and not WITH_SPICE.isdisjoint(wanted):
        _share_spice(list(texts.values()))
    results = {
        name: Scores(len(candidates), dict.fromkeys(wanted))
        for name, (candidates, _) in systems.items()
    }
    in_turn = list(product(wanted, systems))
    for metric, name in tqdm(in_turn, "scoring", leave=False, delay=2):
        scores = results[name]
        try:
            scores.corpus[metric], scores.per_clip[metric] = texts[name].score(metric)
        except (AssetError, MetricError) as error:
            if metrics is not None:
                raise MetricError(f"{metric}: {error}") from error
            scores.unavailable[metric] = str(error)
    return results


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


def _share_spice(systems: Sequence[Texts]) -> None:
    try:
        tokens = [texts.tokenised for texts in systems]
        candidates, mult_references = zip(*tokens, strict=True)
        joined = [*chain(*candidates)], [*chain(*mult_references)]
        clips = iter(spice(*joined))
        results = [engine.mean([*islice(clips, len(own))]) for own, _ in tokens]
    except (AssetError, MetricError) as error:
        results = [error] * len(systems)
    for texts, result in zip(systems, results, strict=True):
        texts.known["spice"] = result


def _check_texts(candidates: list[str], mult_references: list[list[str]]) -> None:
    if not candidates or isinstance(candidates, str):
        raise ValueError("candidates: expected a list of captions, one or more")
    if len(candidates) != len(mult_references):
        raise ValueError(
            f"{len(candidates)} candidates do not match "
            f"{len(mult_references)} lists of references"
        )
    pairs = zip(candidates, mult_references, strict=True)
    for clip, (candidate, references) in enumerate(pairs):
        if isinstance(references, str):
            raise ValueError(
                f"clip {clip}: expected a list of references, got {references!r}"
            )
        if not references:
            raise ValueError(f"clip {clip}: there are no references")
        for text in (candidate, *references):
            if not isinstance(text, str):
                raise ValueError(f"clip {clip}: {text!r} is not a caption")
