import math
import sys
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest

from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation import engine, metrics
from drcap.evaluation.metrics import DEFAULT_METRICS, SBERT_SIM, score

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
        SBERT_SIM: 0.3604,
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
        SBERT_SIM: 0.5738,
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


def test_bleu_is_that_of_the_formula(plain_tokens):
    found = score(CANDIDATES, MULT_REFERENCES, ["bleu_1", "bleu_2", "bleu_3"]).corpus
    for n in (1, 2, 3):
        expected = bleu_by_formula(CANDIDATES, MULT_REFERENCES, n)
        assert found[f"bleu_{n}"] == pytest.approx(expected, abs=1e-6)


def test_cider_d_is_that_of_the_formula(plain_tokens):
    expected = cider_d_by_formula(CANDIDATES, MULT_REFERENCES)
    found = score(CANDIDATES, MULT_REFERENCES, ["cider_d"])
    np.testing.assert_allclose(found.per_clip["cider_d"], expected, atol=1e-9)
    assert found.corpus["cider_d"] == pytest.approx(expected.mean())


def test_rouge_l_is_that_of_the_formula(plain_tokens):
    expected = [
        rouge_l_by_formula(*pair)
        for pair in zip(CANDIDATES, MULT_REFERENCES, strict=True)
    ]
    found = score(CANDIDATES, MULT_REFERENCES, ["rouge_l"])
    np.testing.assert_allclose(found.per_clip["rouge_l"], expected, atol=1e-9)
    assert found.corpus["rouge_l"] == pytest.approx(np.mean(expected))


def test_vocab_counts_distinct_words(plain_tokens):
    scores = score(["a dog", "a cat a cat"], [["a dog"], ["a cat"]], ["vocab"])
    assert scores.corpus["vocab"] == 3
    assert scores.per_clip["vocab"] == [2, 2]


def test_an_empty_candidate_matches_nothing(plain_tokens):
    scores = score(["", "rain falls"], [["a dog"], ["rain falls"]], LEXICAL)
    assert [scores.per_clip[name][0] for name in LEXICAL] == pytest.approx([0] * 7)
    assert scores.corpus["vocab"] == 2


def test_cider_d_of_one_clip_is_unavailable_with_its_reason(plain_tokens, monkeypatch):
    monkeypatch.setattr(metrics, "DEFAULT_METRICS", ("cider_d", "rouge_l"))
    scores = score(["a dog"], [["a dog"]])
    assert scores.corpus == {"cider_d": None, "rouge_l": 1.0}
    assert scores.unavailable == {"cider_d": "CIDEr-D needs at least two clips"}


def test_a_metric_asked_for_by_name_is_an_error_when_it_cannot_be_computed(
    plain_tokens,
):
    with pytest.raises(MetricError, match="cider_d: CIDEr-D needs at least two clips"):
        score(["a dog"], [["a dog"]], ["rouge_l", "cider_d"])


def test_an_unknown_metric_is_an_error_that_lists_the_known_ones():
    with pytest.raises(MetricError, match="unknown metric blue: choose from meteor, "):
        score(CANDIDATES, MULT_REFERENCES, ["blue"])


def test_missing_assets_cost_only_the_metrics_that_need_them(monkeypatch):
    def missing(name):
        raise AssetError(f"{name} is missing: run `drcap assets fetch {name}`")

    monkeypatch.setattr(engine, "asset_path", missing)
    monkeypatch.setattr(metrics, "asset_path", missing)
    scores = score(CANDIDATES, MULT_REFERENCES)
    assert scores.corpus == dict.fromkeys(DEFAULT_METRICS)
    fix = "run `drcap assets fetch caption-metrics`"
    assert fix in scores.unavailable["meteor"] and fix in scores.unavailable["bleu_4"]
    assert "drcap assets fetch all-minilm-l6-v2" in scores.unavailable[SBERT_SIM]


def test_without_java_what_needs_the_tokeniser_is_unavailable(monkeypatch, tmp_path):
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", str(tmp_path / "java"))
    monkeypatch.setattr(engine, "asset_path", lambda name: tmp_path)
    monkeypatch.setattr(metrics, "sbert_sim", None)
    monkeypatch.setitem(metrics.METRICS, SBERT_SIM, lambda texts: (0.5, [0.5] * 3))
    scores = score(CANDIDATES, MULT_REFERENCES)
    assert scores.corpus.pop(SBERT_SIM) == 0.5
    assert set(scores.corpus.values()) == {None}
    assert all("needs Java 8 or later" in text for text in scores.unavailable.values())


def test_a_failing_meteor_process_is_reported_with_its_reason(
    plain_tokens, monkeypatch
):
    def broken(name, *texts, **options):
        raise ValueError("could not convert string to float: b''")

    monkeypatch.setattr(metrics, "_call", broken)
    monkeypatch.setattr(engine, "java_tools", dict)
    with pytest.raises(MetricError, match="METEOR's Java process failed: could not"):
        score(CANDIDATES, MULT_REFERENCES, ["meteor"])


@pytest.mark.parametrize(
    ("candidates", "mult_references", "message"),
    [
        ([], [], "no candidate"),
        (["a dog"], [["a dog"], ["rain"]], "1 candidates do not match 2 lists"),
        (["a dog", "rain"], [["a dog"], []], "clip 1: there are no references"),
        (["a dog", math.nan], [["a dog"], ["rain"]], "clip 1: nan is not a caption"),
        (["a dog"], [["a dog", None]], "clip 0: None is not a caption"),
    ],
)
def test_malformed_texts_are_refused(candidates, mult_references, message):
    with pytest.raises(ValueError, match=message):
        score(candidates, mult_references)


def test_without_the_package_the_error_holds_the_command_that_installs_it(monkeypatch):
    monkeypatch.setattr(engine.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MetricError, match="pip install --no-deps -r requirements-no"):
        score(CANDIDATES, MULT_REFERENCES)


def test_the_stand_in_for_msclap_cannot_be_built():
    engine.functional()
    module = sys.modules["msclap"]
    if getattr(module, "__file__", None):
        pytest.skip("the real msclap is installed")
    with pytest.raises(ImportError, match="msclap is not installed"):
        module.CLAP()


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ('openjdk version "17" 2021-09-14', 17),
        ('openjdk version "25.0.4.1" 2026-01-20', 25),
        ('java version "1.8.0_292"', 8),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.13" x', 11),
    ],
)
def test_every_form_of_java_version_is_read(tmp_path, monkeypatch, printed, version):
    java = fake_java(tmp_path, f"printf '{printed}\\n' >&2")
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", java)
    assert engine.java_path() == java
    assert engine._java_version(java) == version
    from aac_metrics.utils.checks import check_java_path

    assert check_java_path(java)  # what the package asks before it runs a jar


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'java version \"1.7.0_80\"' >&2", "is 7: install one"),
        ("echo nothing of use", "does not run: install one"),
        ("exit 1", "does not run: install one"),
    ],
)
def test_an_unusable_java_is_named(tmp_path, monkeypatch, script, message):
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", fake_java(tmp_path, script))
    monkeypatch.setattr(engine, "asset_path", lambda name: tmp_path)
    with pytest.raises(MetricError, match=message):
        score(CANDIDATES, MULT_REFERENCES, ["bleu_1"])


def fake_java(folder, script):
    java = folder / "java"
    java.write_text(f"#!/bin/sh\n{script}\n")
    java.chmod(0o755)
    return str(java)


@pytest.mark.slow
def test_the_tokeniser_keeps_one_text_a_line_and_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = ["A dog barks, loudly!", "", "two\nlines", "it's 5.5 (metres)", ""]
    expected = [
        "a dog barks loudly",
        "",
        "two lines",
        "it 's 5.5 -lrb- metres -rrb-",
        "",
    ]
    assert engine.ptb_tokenise(texts) == expected
    assert engine.ptb_tokenise([""]) == [""]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_reference_without_words_is_named():
    with pytest.raises(MetricError, match="clip 1: the reference '...' has no words"):
        score(["a dog", "rain"], [["a dog"], ["rain", "..."]], ["rouge_l"])


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_published_examples_have_their_known_scores(example):
    path = asset_path("aac-metrics-examples") / f"{example}.csv"
    table = pd.read_csv(path, keep_default_na=False)  # some candidates are empty
    references = table[[f"caption_{n}" for n in range(1, 6)]].to_numpy().tolist()
    scores = score(table["caption_predicted"].tolist(), references)
    assert scores.corpus == pytest.approx(EXAMPLES[example], abs=6e-5)
    assert scores.unavailable == {}
    assert {len(values) for values in scores.per_clip.values()} == {len(table)}
