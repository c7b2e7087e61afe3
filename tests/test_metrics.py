import math
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest

from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation import engine, java, metrics
from drcap.evaluation.metrics import METRICS, SBERT_SIM, score, score_systems

CANDIDATES = ["a dog barks at a passing car", "rain falls", "a man speaks and laughs"]
MULT_REFERENCES = [
    ["a dog barks while a car passes", "a dog is barking at a car"],
    ["heavy rain falls on a roof", "rain is falling", "rain falls and wind blows"],
    ["a man speaks", "a man is speaking and a crowd laughs"],
]
LEXICAL = ["cider_d", "rouge_l", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "vocab"]

EXAMPLES = {
    "example_1": {
        "meteor": 0.17884,
        "cider_d": 0.40172,
        "rouge_l": 0.39581,
        "bleu_1": 0.5041,
        "bleu_2": 0.3349,
        "bleu_3": 0.2230,
        "bleu_4": 0.1449,
        "vocab": 44,
    },
    "example_2": {
        "meteor": 0.22517,
        "cider_d": 0.63429,
        "rouge_l": 0.46537,
        "bleu_1": 0.6689,
        "bleu_2": 0.4952,
        "bleu_3": 0.3578,
        "bleu_4": 0.2488,
        "vocab": 364,
    },
}


@pytest.fixture
def plain_tokens(monkeypatch):
    """Texts here are lower case and bare of punctuation, so that Java can stay out."""
    monkeypatch.setattr(engine, "ptb_tokenise", list)


def ngrams(text, n):
    words = text.split()
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu_by_formula(candidates, mult_references, longest):
    """Papineni et al. (2002): clipped precisions and brevity, over the corpus."""
    log_precision = 0.0
    for n in range(1, longest + 1):
        hits = total = 0
        for candidate, references in zip(candidates, mult_references, strict=True):
            most = Counter()
            for reference in references:
                most |= ngrams(reference, n)
            hits += sum((ngrams(candidate, n) & most).values())
            total += sum(ngrams(candidate, n).values())
        log_precision += math.log(hits / total) / longest
    length = sum(len(c.split()) for c in candidates)
    closest = sum(
        min((abs(len(r.split()) - len(c.split())), len(r.split())) for r in references)[
            1
        ]
        for c, references in zip(candidates, mult_references, strict=True)
    )
    return math.exp(log_precision + min(0, 1 - closest / length))


def cider_d_by_formula(candidates, mult_references, sigma=6.0):
    """Vedantam et al. (2015), with CIDEr-D's clipping and length penalty."""
    scores = np.zeros((len(candidates), 4))
    for n in range(1, 5):
        seen = [set().union(*(ngrams(r, n) for r in refs)) for refs in mult_references]
        found = Counter(gram for grams in seen for gram in grams)

        def weigh(text, n=n, found=found):
            return {
                gram: count * math.log(len(mult_references) / max(found[gram], 1))
                for gram, count in ngrams(text, n).items()
            }

        for clip, references in enumerate(mult_references):
            ours = weigh(candidates[clip])
            for reference in references:
                theirs = weigh(reference)
                dot = sum(
                    min(ours[g], theirs[g]) * theirs[g] for g in ours & theirs.keys()
                )
                norms = math.hypot(*ours.values()) * math.hypot(*theirs.values())
                gap = len(candidates[clip].split()) - len(reference.split())
                penalty = math.exp(-(gap**2) / (2 * sigma**2))
                if norms:
                    scores[clip, n - 1] += penalty * dot / norms / len(references)
    return 10 * scores.mean(axis=1)


def rouge_l_by_formula(candidate, references, beta=1.2):
    """Lin (2004): F-measure of the best precision and the best recall."""

    def common(a, b):
        table = np.zeros((len(a) + 1, len(b) + 1), dtype=int)
        for i, j in product(range(len(a)), range(len(b))):
            table[i + 1, j + 1] = (
                table[i, j] + 1
                if a[i] == b[j]
                else max(table[i, j + 1], table[i + 1, j])
            )
        return table[-1, -1]

    words = candidate.split()
    lengths = [(common(words, r.split()), len(r.split())) for r in references]
    precision = max(length for length, _ in lengths) / len(words)
    recall = max(length / total for length, total in lengths)
    return (1 + beta**2) * precision * recall / (recall + beta**2 * precision)


def test_scores_of_words_are_those_of_the_formulas(plain_tokens):
    names = ["cider_d", "rouge_l", "bleu_1", "bleu_2", "bleu_3"]
    scores = score(CANDIDATES, MULT_REFERENCES, names)
    for n in (1, 2, 3):
        expected = bleu_by_formula(CANDIDATES, MULT_REFERENCES, n)
        assert scores.corpus[f"bleu_{n}"] == pytest.approx(expected, abs=1e-6)
    pairs = zip(CANDIDATES, MULT_REFERENCES, strict=True)
    for name, clips in (
        ("cider_d", cider_d_by_formula(CANDIDATES, MULT_REFERENCES)),
        ("rouge_l", [rouge_l_by_formula(*pair) for pair in pairs]),
    ):
        np.testing.assert_allclose(scores.per_clip[name], clips, atol=1e-9)
        assert scores.corpus[name] == pytest.approx(np.mean(clips))


def test_vocab_counts_distinct_words(plain_tokens):
    scores = score(["a dog", "a cat a cat"], [["a dog"], ["a cat"]], ["vocab"])
    assert scores.corpus["vocab"] == 3
    assert scores.per_clip["vocab"] == [2, 2]


def test_an_empty_candidate_matches_nothing(plain_tokens):
    scores = score(["", "rain falls"], [["a dog"], ["rain falls"]], LEXICAL)
    assert [scores.per_clip[name][0] for name in LEXICAL] == pytest.approx([0] * 7)
    assert scores.corpus["vocab"] == 2


def only(monkeypatch, *names):
    """Leave only these of the METRICS."""
    kept = {name: METRICS[name] for name in names}
    monkeypatch.setattr(metrics, "METRICS", kept)
    return kept


def test_a_metric_that_cannot_be_computed_is_an_error_only_if_asked_for_by_name(
    plain_tokens, monkeypatch
):
    only(monkeypatch, "cider_d", "rouge_l")
    scores = score(["a dog"], [["a dog"]])
    assert scores.corpus == {"cider_d": None, "rouge_l": 1.0}
    assert scores.unavailable == {"cider_d": "CIDEr-D needs at least two clips"}
    with pytest.raises(MetricError, match="cider_d: CIDEr-D needs at least two clips"):
        score(["a dog"], [["a dog"]], ["rouge_l", "cider_d"])


def test_an_unknown_metric_is_an_error_that_lists_the_known_ones():
    with pytest.raises(
        MetricError, match="metric: unknown 'blue'; choose one of meteor, "
    ):
        score(CANDIDATES, MULT_REFERENCES, ["blue"])


def test_what_is_not_installed_costs_only_the_metrics_that_need_it(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    monkeypatch.setattr(java, "_start", lambda: asset_path("caption-metrics"))
    scores = score(["a quokka hums"] * 2, [["a quokka sings"]] * 2)
    assert scores.corpus == dict.fromkeys(METRICS)
    fix = "run `drcap assets fetch caption-metrics`"
    assert fix in scores.unavailable["meteor"] and fix in scores.unavailable["bleu_4"]
    assert "run `drcap assets fetch judge`" in scores.unavailable[SBERT_SIM]
    for name in ("spice", "spider", "fense", "fer"):
        assert "run `drcap assets fetch " in scores.unavailable[name]


def test_shuffled_captions_score_nothing_and_one_caption_for_all_what_it_did(
    plain_tokens,
):
    references = [["a dog barks"], ["rain falls"], ["people talk loudly"], ["wind"]]
    own = [texts[0] for texts in references]
    names = ["cider_d", "cider_d_shuffled"]
    heard = score(own, references, names).corpus
    assert heard["cider_d"] > 1 and heard["cider_d_shuffled"] == 0
    deaf = score(["a dog barks"] * 4, references, names).corpus
    assert deaf["cider_d"] == deaf["cider_d_shuffled"] > 0
    with pytest.raises(MetricError, match="cider_d_shuffled: CIDEr-D needs at least"):
        score(["a dog"], [["a dog"]], ["cider_d_shuffled"])


def test_spider_is_the_mean_of_cider_d_and_spice(plain_tokens, monkeypatch):
    monkeypatch.setitem(METRICS, "spice", lambda texts: (0.5, [0.25, 0.5, 0.75]))
    scores = score(CANDIDATES, MULT_REFERENCES, ["cider_d", "spider"])
    cider_d, clips = scores.corpus["cider_d"], scores.per_clip["cider_d"]
    assert scores.corpus["spider"] == pytest.approx((cider_d + 0.5) / 2)
    assert scores.per_clip["spider"][2] == pytest.approx((clips[2] + 0.75) / 2)


def test_spider_fl_takes_nine_tenths_off_a_faulty_caption(monkeypatch):
    monkeypatch.setitem(METRICS, "spider", lambda texts: (0.6, [0.4, 0.8, 0.6]))
    monkeypatch.setitem(METRICS, "fer", lambda texts: (1 / 3, [0.0, 1.0, 0.0]))
    scores = score(CANDIDATES, MULT_REFERENCES, ["spider_fl"])
    assert scores.per_clip["spider_fl"] == pytest.approx([0.4, 0.08, 0.6])
    assert scores.corpus["spider_fl"] == pytest.approx(1.08 / 3)


def test_each_system_is_scored_as_if_it_were_alone(plain_tokens):
    systems = {
        "ours": (CANDIDATES, MULT_REFERENCES),
        "copies": ([references[0] for references in MULT_REFERENCES], MULT_REFERENCES),
        "short": (CANDIDATES[:2], MULT_REFERENCES[:2]),
    }
    names = ["cider_d", "bleu_2", "vocab"]
    scores = score_systems(systems, names)
    assert scores == {name: score(*pair, names) for name, pair in systems.items()}
    assert scores["copies"].corpus["bleu_2"] == pytest.approx(1)


@pytest.mark.parametrize("fails", [True, False])
def test_a_metric_that_others_build_on_is_computed_once(
    plain_tokens, monkeypatch, fails
):
    calls = []

    def spice(texts):
        calls.append(texts)
        if fails:
            raise MetricError("SPICE ended with code 1")
        return 0.5, [0.5] * 3

    names = ("spice", "spider", "spider_fl", "cider_d", "fer")
    kept = only(monkeypatch, *names)
    kept |= {"spice": spice, "fer": lambda texts: (0.0, [0.0] * 3)}
    scores = score(CANDIDATES, MULT_REFERENCES)
    assert len(calls) == 1
    assert list(scores.corpus) == list(names)
    assert scores.corpus["cider_d"] > 0
    reasons = dict.fromkeys(names[:3], "SPICE ended with code 1") if fails else {}
    assert scores.unavailable == reasons


@pytest.mark.parametrize(
    ("candidates", "mult_references", "message"),
    [
        ([], [], "candidates: expected"),
        (["a dog"], [["a dog"], ["rain"]], "1 candidates do not match 2 lists"),
        (["a dog", "rain"], [["a dog"], []], "clip 1: there are no references"),
        (["a dog", math.nan], [["a dog"], ["rain"]], "clip 1: nan is not a caption"),
        (["a dog"], [["a dog", None]], "clip 0: None is not a caption"),
        (["a dog"], ["a dog"], "clip 0: expected a list of references, got 'a dog'"),
        ("a dog", [["a dog"]] * 5, "candidates: expected a list of captions"),
    ],
)
def test_malformed_texts_are_refused(candidates, mult_references, message):
    with pytest.raises(ValueError, match=message):
        score(candidates, mult_references)


def test_without_the_package_the_error_holds_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MetricError, match="pip install --no-deps -r requirements-no"):
        score(CANDIDATES, MULT_REFERENCES, ["bleu_1"])


def test_a_sentence_is_tokenised_once_and_loses_its_punctuation(monkeypatch):
    seen = []

    def tokenise(lines):
        seen.extend(lines)
        return [line.lower().replace(",", " ,") for line in lines]

    monkeypatch.setattr(java, "ptb_tokenise", tokenise)
    monkeypatch.setattr(engine, "_tokenised", {})
    assert engine.ptb_tokenise(["A dog, then", "rain\nfalls", "A dog, then"]) == [
        "a dog then",
        "rain falls",
        "a dog then",
    ]
    assert engine.ptb_tokenise(["rain\nfalls", "a cat"]) == ["rain falls", "a cat"]
    assert seen == ["A dog, then", "rain falls", "a cat"]


def test_a_reference_without_words_is_named(monkeypatch):
    monkeypatch.setattr(java, "ptb_tokenise", list)
    with pytest.raises(MetricError, match="clip 1: the reference '...' has no words"):
        score(["a dog", "rain"], [["a dog"], ["rain", "..."]], ["rouge_l"])


def published(example):
    """The candidates and references of one of aac-metrics' example files."""
    path = asset_path("aac-metrics-examples") / f"{example}.csv"
    table = pd.read_csv(path, keep_default_na=False)  # some candidates are empty
    references = table[[f"caption_{n}" for n in range(1, 6)]].to_numpy().tolist()
    return table["caption_predicted"].tolist(), references


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_published_examples_have_their_known_scores(example):
    candidates, references = published(example)
    scores = score(candidates, references, EXAMPLES[example])
    assert scores.corpus == pytest.approx(EXAMPLES[example], abs=6e-5)
    assert {len(values) for values in scores.per_clip.values()} == {len(candidates)}


@pytest.mark.slow
def test_every_metric_but_those_of_optional_assets_has_a_value():
    scores = score(CANDIDATES, MULT_REFERENCES)
    assert list(scores.corpus) == list(METRICS)
    optional = {*metrics.WITH_SPICE, "fense", "fer", SBERT_SIM}
    assert scores.unavailable.keys() <= optional
    for reason in scores.unavailable.values():
        assert "run `drcap assets fetch " in reason
    computed = METRICS.keys() - scores.unavailable.keys()
    assert scores.per_clip.keys() == computed
    assert all(len(scores.per_clip[name]) == 3 for name in computed)


@pytest.fixture
def judge():
    """The folder of the sentence encoder that judges; skips where it is not fetched."""
    try:
        return asset_path("all-mpnet-base-v2")
    except AssetError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_the_sbert_similarity_is_the_mean_cosine_to_the_references(judge):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(judge))
    expected = [
        float(np.mean(model.encode(references) @ model.encode(candidate)))
        for candidate, references in zip(CANDIDATES, MULT_REFERENCES, strict=True)
    ]
    scores = score(CANDIDATES, MULT_REFERENCES, [SBERT_SIM])
    assert scores.per_clip[SBERT_SIM] == pytest.approx(expected, abs=1e-5)
    assert scores.corpus[SBERT_SIM] == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize(
    "example, known",
    [
        pytest.param("example_1", 0.39794, marks=pytest.mark.slow),
        pytest.param("example_2", 0.60745, marks=pytest.mark.graph),  # takes minutes
    ],
)
def test_the_judge_gives_the_published_examples_their_known_scores(
    example, known, judge
):
    scores = score(*published(example), [SBERT_SIM])
    assert scores.corpus[SBERT_SIM] == pytest.approx(known, abs=1e-5)
