"""How SPICE is called and read, with a stand-in for `java`; and its official scores."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from drcap import assets
from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation import spice as module
from drcap.evaluation.metrics import score, score_systems
from drcap.evaluation.spice import spice

# It scores by the number of references, and keeps how it was called.
FAKE = """#!{python}
import json, pathlib, sys
calls, arguments = pathlib.Path({calls!r}), sys.argv[1:]
[texts] = [name for name in arguments if name.endswith("texts.json")]
pairs = json.loads(pathlib.Path(texts).read_text())
with calls.open("a") as stream:
    stream.write(json.dumps([arguments, pairs]) + "\\n")
items = [
    {{"image_id": p["image_id"], "scores": {{"All": {{"f": len(p["refs"]) / 4}}}}}}
    for p in reversed(pairs)
]
if "-out" in arguments:
    out = arguments[arguments.index("-out") + 1]
    {then}
"""
WRITE = "pathlib.Path(out).write_text(json.dumps(items))"
TEXTS = ["a dog barks", "", "rain"], [["a dog"], ["a cat", "cats"], ["rain"] * 4]
OFFICIAL = {"example_1": 0.12555534, "example_2": 0.16525983}
GOLDEN = Path(__file__).parent / "golden" / "spice_official.csv"

NEEDED = assets.select(["spice-corenlp", "spice-rhino"])
installed = pytest.mark.skipif(
    any(assets.problem(asset) for asset in NEEDED),
    reason="SPICE is not installed: `drcap assets fetch spice`",
)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty DRCAP_HOME, and folders in place of the assets."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    monkeypatch.setattr(module, "asset_path", lambda name: tmp_path / name)
    return tmp_path


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Make a `java` that ends in `then`; returns how it was called, once it has run."""
    path, calls = tmp_path / "jre" / "bin" / "java", tmp_path / "calls.jsonl"
    monkeypatch.setattr(module, "java_home", lambda: tmp_path / "jre")

    def make(then=WRITE):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(FAKE.format(python=sys.executable, calls=str(calls), then=then))
        path.chmod(0o755)
        return lambda: [json.loads(line) for line in calls.read_text().splitlines()]

    return make


def test_scores_come_back_in_the_order_of_the_clips(home, java):
    java()
    assert spice(*TEXTS) == [0.25, 0.5, 1.0]


def test_each_text_is_parsed_once_before_the_pairs_are_scored(home, java):
    calls = java()
    spice(*TEXTS)
    (parsing, texts), (scoring, pairs) = calls()
    distinct = ["a dog barks", "", "rain", "a dog", "a cat", "cats"]
    assert [pair["test"] for pair in texts] == distinct
    assert {len(pair["refs"]) for pair in texts} == {0} and "-out" not in parsing
    assert [pair["refs"] for pair in pairs] == TEXTS[1] and "-out" in scoring
    spice(["a dog"], [["a cat"]])
    assert len(calls()) == 3  # nothing to parse twice


def test_the_command_opens_what_newer_javas_close_and_keeps_what_it_parses(home, java):
    calls = java()
    spice(*TEXTS)
    command = calls()[-1][0]
    opened = [argument for argument in command if argument.startswith("--add-opens")]
    assert opened == [
        f"--add-opens=java.base/java.{name}=ALL-UNNAMED"
        for name in ("lang", "math", "util", "util.concurrent", "net", "text")
    ]
    class_path = command[command.index("-cp") + 1].split(os.pathsep)
    lib = home / "caption-metrics" / "aac-metrics" / "spice"
    assert class_path == [
        str(lib / "spice-1.0.jar"),
        str(lib / "lib" / "*"),
        str(home / "spice-corenlp" / "*"),
        str(home / "spice-rhino" / "js.jar"),
    ]
    assert command[command.index("-cp") + 2] == "edu.anu.spice.SpiceScorer"
    assert "-Xmx3G" in command
    assert command[command.index("-cache") + 1] == str(home / "spice")
    assert (home / "spice").is_dir() and not list(home.rglob("*.json"))


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (
            "sys.exit('starting\\nException in thread: OutOfMemoryError\\n at x')",
            "SPICE ended with code 1: Exception in thread: OutOfMemoryError",
        ),
        (
            "sys.exit('Picked up JAVA_TOOL_OPTIONS: -ea:Error')",
            "SPICE ended with code 1: it gave no reason",
        ),
        ("pass", "left no scores to be read: FileNotFoundError"),
        ("pathlib.Path(out).write_text('[')", "left no scores to be read: JSONDecode"),
        (f"del items[0]; {WRITE}", "left no scores to be read: KeyError"),
        (
            f"items[0]['scores']['All']['f'] = None; {WRITE}",
            "left no scores to be read: TypeError",
        ),
        (
            f"items[0]['scores']['All']['f'] = float('nan'); {WRITE}",
            "SPICE gave clip 2 no score",
        ),
    ],
)
def test_a_failure_is_reported_with_its_reason(home, java, then, message):
    java(then)
    with pytest.raises(MetricError, match=message):
        spice(*TEXTS)


def test_a_java_that_is_gone_is_named(home, monkeypatch):
    monkeypatch.setattr(module, "java_home", lambda: home / "no")
    with pytest.raises(MetricError, match="SPICE does not start: .*/no/bin/java"):
        spice(*TEXTS)


def test_missing_jars_are_the_reason_why_spice_and_spider_are_not_there(
    tmp_path, java, monkeypatch
):
    java()
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    monkeypatch.setattr("drcap.evaluation.engine.ptb_tokenise", list)
    with pytest.raises(AssetError, match="drcap assets fetch caption-metrics"):
        spice(*TEXTS)
    monkeypatch.setattr(
        module,
        "asset_path",
        lambda name: tmp_path if name == "caption-metrics" else asset_path(name),
    )
    for name in ("spice", "spider"):
        with pytest.raises(MetricError, match=f"{name}: .*'spice-corenlp'.*fetch "):
            score(*TEXTS, [name])


def test_spice_starts_once_for_all_systems_of_a_table(home, java, monkeypatch):
    calls = java()
    monkeypatch.setattr("drcap.evaluation.engine.ptb_tokenise", list)
    systems = {"DRCap": TEXTS, "floor": (["a dog"] * 2, [["a dog"] * 3, ["a cat"]])}
    scores = score_systems(systems, ["spice"])
    assert [each.per_clip["spice"] for each in scores.values()] == [
        [0.25, 0.5, 1.0],
        [0.75, 0.25],
    ]
    assert scores["floor"].corpus["spice"] == 0.5
    assert len(calls()) == 2  # one parses, one scores
    java("sys.exit(3)")
    with pytest.raises(MetricError, match="spice: SPICE ended with code 3"):
        score_systems(systems, ["spice"])


def official(example, clips=None):
    """Candidates, references and the official scores of aac-metrics' example files."""
    path = asset_path("aac-metrics-examples") / f"{example}.csv"
    table = pd.read_csv(path, keep_default_na=False)[:clips]  # some captions are empty
    references = table[[f"caption_{n}" for n in range(1, 6)]].to_numpy().tolist()
    golden = pd.read_csv(GOLDEN)
    scores = golden[golden["file"] == f"{example}.csv"]["spice"].to_numpy()[:clips]
    return (table["caption_predicted"].tolist(), references), scores


@installed
@pytest.mark.slow
def test_the_first_clips_have_their_official_scores():
    texts, expected = official("example_1", 8)
    scores = score(*texts, ["spice", "spider", "cider_d"])
    np.testing.assert_allclose(scores.per_clip["spice"], expected, atol=1e-12)
    mean = (scores.corpus["cider_d"] + scores.corpus["spice"]) / 2
    assert scores.corpus["spider"] == pytest.approx(mean)


@installed
@pytest.mark.slow
@pytest.mark.timeout(3600)  # four minutes on two idle cores, seconds if run before
def test_every_clip_of_the_published_examples_has_its_official_score():
    examples = {name: official(name) for name in OFFICIAL}
    systems = {name: texts for name, (texts, _) in examples.items()}
    for name, scores in score_systems(systems, ["spice"]).items():
        assert scores.corpus["spice"] == pytest.approx(OFFICIAL[name], abs=5e-9)
        expected = examples[name][1]
        np.testing.assert_allclose(scores.per_clip["spice"], expected, atol=1e-12)
