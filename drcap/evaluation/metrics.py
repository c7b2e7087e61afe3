"""Caption metrics (sec. III): METEOR, CIDEr-D, SPICE, SPIDEr, FENSE and others.

In go candidates and their references, out come corpus and per-clip scores, as
aac-metrics defines them. Each metric is one function, so that one that cannot be
computed never takes the others down: it is reported with its reason and never silently
replaced. spice_py and spider_py stand beside SPICE and SPIDEr under their own names.
Checked against known scores of aac-metrics' example files and against the formulas. To
add a metric, write one function of `Texts` and name it in METRICS.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property, partial

from tqdm import tqdm

from drcap.errors import AssetError, MetricError
from drcap.evaluation import engine, java
from drcap.evaluation.engine import Score

SBERT_SIM = "sbert_sim[all-MiniLM-L6-v2]"  # published FENSE uses another model


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
    _known: dict[str, Score | Exception] = field(default_factory=dict)

    @cached_property
    def tokenised(self) -> tuple[list[str], list[list[str]]]:
        """Both after the PTB tokeniser; MetricError or AssetError if it cannot run."""
        flat = [text for references in self.mult_references for text in references]
        words = iter(engine.ptb_tokenise(flat))
        mult_references = [
            [next(words) for _ in references] for references in self.mult_references
        ]
        for clip, references in enumerate(mult_references):
            if "" in references:
                empty = self.mult_references[clip][references.index("")]
                raise MetricError(f"clip {clip}: the reference {empty!r} has no words")
        return engine.ptb_tokenise(self.candidates), mult_references

    def score(self, name: str) -> Score:
        """Return one of METRICS; MetricError or AssetError says why it has no value."""
        if name not in self._known:
            try:
                self._known[name] = METRICS[name](self)
            except (AssetError, MetricError) as error:
                self._known[name] = error
        if isinstance(known := self._known[name], Exception):
            raise known
        return known


def lexical(name: str, texts: Texts) -> Score:
    """Compare words: the aac-metrics function `name`, which needs tokens alone."""
    return engine.call(name, *texts.tokenised)


def meteor(texts: Texts) -> Score:
    """METEOR 1.5: aligns words that are equal, share a stem or mean the same."""
    return java.meteor(*texts.tokenised)


def cider_d(texts: Texts) -> Score:
    """CIDEr-D; with one clip every n-gram is in every clip and weighs nothing."""
    if len(texts.candidates) < 2:
        raise MetricError("CIDEr-D needs at least two clips")
    return lexical("cider_d", texts)


def spice(texts: Texts) -> Score:
    """SPICE, its authors' own program: compares scene graphs."""
    from drcap.evaluation.spice import spice

    return spice(*texts.tokenised)


def spice_py(texts: Texts) -> Score:
    """SPICE's idea with our own parser; not comparable with published SPICE."""
    from drcap.evaluation.spice_py import spice_py

    return spice_py(texts.candidates, texts.mult_references, _scene_graph_parser())


def spider(spice_name: str, texts: Texts) -> Score:
    """SPIDEr (Liu et al. 2017): the mean of CIDEr-D and SPICE."""
    pairs = texts.score("cider_d"), texts.score(spice_name)
    (corpus, clips), (other_corpus, other_clips) = pairs
    means = [(one + other) / 2 for one, other in zip(clips, other_clips, strict=True)]
    return (corpus + other_corpus) / 2, means


def sbert_sim(asset: str, texts: Texts) -> Score:
    """Mean cosine between the candidate's and its references' sentence embeddings."""
    from drcap.evaluation.fluency import similarity

    return similarity(asset, texts.candidates, texts.mult_references)


def fer(texts: Texts) -> Score:
    """Fluency error rate: the share of candidates with an error; lower is better."""
    from drcap.evaluation.fluency import error_rate

    return error_rate(texts.candidates)


def fense(texts: Texts) -> Score:
    """FENSE: the SBERT similarity of TinyBERT, less for candidates with an error."""
    from drcap.evaluation.fluency import penalise

    return penalise(sbert_sim("fense-tinybert", texts), texts.score("fer"))


def spider_fl(texts: Texts) -> Score:
    """SPIDEr-FL: SPIDEr, less for candidates with an error."""
    from drcap.evaluation.fluency import penalise

    return penalise(texts.score("spider"), texts.score("fer"))


def vocab(texts: Texts) -> Score:
    """Count distinct words, over all candidates and in each."""
    words = [set(candidate.split()) for candidate in texts.tokenised[0]]
    return float(len(set().union(*words))), [float(len(each)) for each in words]


METRICS: dict[str, Callable[[Texts], Score]] = {  # in the order of a paper's table
    "meteor": meteor,
    "cider_d": cider_d,
    "spice": spice,
    "spider": partial(spider, "spice"),
    "fense": fense,
    "spice_py": spice_py,
    "spider_py": partial(spider, "spice_py"),
    SBERT_SIM: partial(sbert_sim, "all-minilm-l6-v2"),
    "rouge_l": partial(lexical, "rouge_l"),
    "bleu_1": partial(lexical, "bleu_1"),
    "bleu_2": partial(lexical, "bleu_2"),
    "bleu_3": partial(lexical, "bleu_3"),
    "bleu_4": partial(lexical, "bleu_4"),
    "spider_fl": spider_fl,
    "fer": fer,
    "vocab": vocab,
}
DEFAULT_METRICS = tuple(METRICS)


def check_names(metrics: Sequence[str]) -> None:
    """Raise MetricError naming the metrics that do not exist, and those that do."""
    if unknown := [name for name in metrics if name not in METRICS]:
        raise MetricError(
            f"unknown metric {', '.join(unknown)}: choose from {', '.join(METRICS)}"
        )


def score(
    candidates: list[str],
    mult_references: list[list[str]],
    metrics: Sequence[str] | None = None,
) -> Scores:
    """Score B candidates against their references.

    metrics : names in METRICS. Left out, all of DEFAULT_METRICS are tried, and one that
        cannot be computed here is None in `corpus` with its reason in `unavailable`;
        one asked for by name raises MetricError instead.

    An empty candidate is a poor caption, not an error: it matches nothing. ValueError
    if a candidate or reference is not text, or a clip has no reference.
    """
    _check_texts(candidates, mult_references)
    check_names(metrics or ())
    wanted = metrics or DEFAULT_METRICS
    if "meteor" in wanted:
        java.warm_up()
    engine.functional()
    texts = Texts(candidates, mult_references)
    scores = Scores(clips=len(candidates), corpus=dict.fromkeys(wanted))
    # METEOR last: Java is reading its table while the others are computed
    in_turn = sorted(wanted, key="meteor".__eq__)
    for name in tqdm(in_turn, "scoring", leave=False, delay=2):
        try:
            scores.corpus[name], scores.per_clip[name] = texts.score(name)
        except (AssetError, MetricError) as error:
            if metrics is not None:
                raise MetricError(f"{name}: {error}") from error
            scores.unavailable[name] = str(error)
    return scores


def _check_texts(candidates: list[str], mult_references: list[list[str]]) -> None:
    if not candidates:
        raise ValueError("there is no candidate to score")
    if len(candidates) != len(mult_references):
        raise ValueError(
            f"{len(candidates)} candidates do not match "
            f"{len(mult_references)} lists of references"
        )
    for clip, (candidate, references) in enumerate(
        zip(candidates, mult_references, strict=True)
    ):
        for text in (candidate, *references):
            if not isinstance(text, str):
                raise ValueError(f"clip {clip}: {text!r} is not a caption")
        if not references:
            raise ValueError(f"clip {clip}: there are no references")


@cache
def _scene_graph_parser():
    from drcap.evaluation.scene_graphs import SceneGraphParser

    return SceneGraphParser()
