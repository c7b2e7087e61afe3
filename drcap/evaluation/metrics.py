"""Caption metrics (sec. III): METEOR, CIDEr-D, ROUGE-L, BLEU, SBERT similarity.

In go candidates and their references, out come corpus and per-clip scores. aac-metrics
computes them, one function a metric, so that one that cannot be computed never takes
the others down: it is reported with its reason and never silently replaced. Checked
against known scores of aac-metrics' example files and against the formulas. To add a
metric, write one function of `Texts` and name it in METRICS.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from tqdm import tqdm

from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation import engine

Score = tuple[float, list[float]]  # of the corpus, of each clip

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
    """B candidates with their references, tokenised once, when first needed."""

    candidates: list[str]  # B
    mult_references: list[list[str]]  # B lists of one or more

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


def lexical(name: str, texts: Texts) -> Score:
    """Compare words: the aac-metrics function `name`, which needs tokens alone."""
    return _call(name, *texts.tokenised)


def meteor(texts: Texts) -> Score:
    """METEOR 1.5; its Java process reads a large paraphrase table for 5-9 s."""
    try:
        return _call("meteor", *texts.tokenised, **engine.java_tools())
    except (OSError, ValueError) as error:
        raise MetricError(f"METEOR's Java process failed: {error}") from error


def cider_d(texts: Texts) -> Score:
    """CIDEr-D; with one clip every n-gram is in every clip and weighs nothing."""
    if len(texts.candidates) < 2:
        raise MetricError("CIDEr-D needs at least two clips")
    return lexical("cider_d", texts)


def sbert_sim(texts: Texts) -> Score:
    """Mean cosine between the candidate's and its references' sentence embeddings."""
    model = str(asset_path("all-minilm-l6-v2"))
    return _call(
        "sbert_sim", texts.candidates, texts.mult_references, sbert_model=model
    )


def vocab(texts: Texts) -> Score:
    """Count distinct words, over all candidates and in each."""
    words = [set(candidate.split()) for candidate in texts.tokenised[0]]
    return float(len(set().union(*words))), [float(len(each)) for each in words]


METRICS: dict[str, Callable[[Texts], Score]] = {
    "meteor": meteor,
    "cider_d": cider_d,
    "rouge_l": partial(lexical, "rouge_l"),
    "bleu_1": partial(lexical, "bleu_1"),
    "bleu_2": partial(lexical, "bleu_2"),
    "bleu_3": partial(lexical, "bleu_3"),
    "bleu_4": partial(lexical, "bleu_4"),
    SBERT_SIM: sbert_sim,
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
    engine.functional()
    texts = Texts(candidates, mult_references)
    scores = Scores(clips=len(candidates))
    for name in tqdm(metrics or DEFAULT_METRICS, "scoring", leave=False, delay=2):
        try:
            scores.corpus[name], scores.per_clip[name] = METRICS[name](texts)
        except (AssetError, MetricError) as error:
            if metrics is not None:
                raise MetricError(f"{name}: {error}") from error
            scores.corpus[name] = None
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


def _call(name: str, candidates, mult_references, **options) -> Score:
    function = getattr(engine.functional(), name)
    corpus, clips = function(candidates, mult_references, **options)
    return float(corpus[name]), [float(value) for value in clips[name]]
