"""How SPICE is called and read, with a stand-in for `java`; and what it lacks."""

import json
import os
import sys

import pytest

from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation import spice as module
from drcap.evaluation.java import Java
from drcap.evaluation.metrics import score
from drcap.evaluation.spice import spice

# It scores by the number of references, and writes down how it was called.
FAKE = """#!{python}
import json, pathlib, sys
arguments = sys.argv[1:]
pathlib.Path({told!r}).write_text(json.dumps(arguments))
texts, out = arguments[-6], arguments[arguments.index("-out") + 1]
pairs = json.loads(pathlib.Path(texts).read_text())
items = [
    {{"image_id": p["image_id"], "scores": {{"All": {{"f": len(p["refs"]) / 4}}}}}}
    for p in reversed(pairs)
]
{then}
"""
WRITE = "pathlib.Path(out).write_text(json.dumps(items))"
TEXTS = ["a dog barks", "", "rain"], [["a dog"], ["a cat", "cats"], ["rain"] * 4]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty DRCAP_HOME, and folders in place of the assets."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    monkeypatch.setattr(module, "asset_path", lambda name: tmp_path / name)
    return tmp_path


@pytest.fixture
def java(tmp_path, monkeypatch):
    """Make a `java` that ends in `then`; returns what it was told, once it has run."""

    def make(then=WRITE, version=17):
        told, path = tmp_path / "told.json", tmp_path / "java"
        path.write_text(FAKE.format(python=sys.executable, told=str(told), then=then))
        path.chmod(0o755)
        monkeypatch.setattr(
            module, "find_java", lambda: Java(str(path), version, tmp_path)
        )
        return lambda: json.loads(told.read_text())

    return make


def test_scores_come_back_in_the_order_of_the_clips(home, java):
    java()
    assert spice(*TEXTS) == (pytest.approx(1.75 / 3), [0.25, 0.5, 1.0])


def test_the_command_opens_what_newer_javas_close(home, java):
    told = java()
    spice(*TEXTS)
    command = told()
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
    assert "-Xmx3G" in command and command[-1] == "-subset"


def test_what_it_parsed_is_kept_in_the_cache_and_texts_are_not(home, java):
    told = java()
    spice(*TEXTS)
    command = told()
    assert command[command.index("-cache") + 1] == str(home / "spice")
    assert (home / "spice").is_dir()
    assert not [path for path in home.rglob("*.json") if path.name != "told.json"]


def test_an_older_java_has_its_own_javascript(home, java):
    told = java(version=11)
    spice(*TEXTS)
    assert not any("js.jar" in argument for argument in told())


def test_the_systems_rhino_serves_where_none_was_fetched(home, java, monkeypatch):
    def fetched(name):
        if name == "spice-rhino":
            raise AssetError("asset 'spice-rhino' is not fetched: run `drcap assets")
        return home / name

    told = java()
    monkeypatch.setattr(module, "asset_path", fetched)
    monkeypatch.setattr(module, "SYSTEM_RHINO", home / "js.jar")
    with pytest.raises(AssetError, match="'spice-rhino' is not fetched"):
        spice(*TEXTS)
    (home / "js.jar").touch()
    spice(*TEXTS)
    assert told()[told().index("-cp") + 1].endswith(str(home / "js.jar"))


@pytest.mark.parametrize(
    ("then", "message"),
    [
        (
            "sys.exit('starting\\nException in thread: OutOfMemoryError\\n at x')",
            "SPICE ended with code 1: Exception in thread: OutOfMemoryError",
        ),
        ("sys.exit(3)", "SPICE ended with code 3: it gave no reason"),
        ("", "left no scores to be read: FileNotFoundError"),
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
    monkeypatch.setattr(module, "find_java", lambda: Java("/no/java", 17, home))
    with pytest.raises(MetricError, match="SPICE does not start: .*/no/java"):
        spice(*TEXTS)


def test_missing_jars_are_the_reason_why_spice_and_spider_are_not_there(
    tmp_path, java, monkeypatch
):
    java()
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    monkeypatch.setattr("drcap.evaluation.engine.ptb_tokenise", list)
    with pytest.raises(
        MetricError, match="spice: .*drcap assets fetch caption-metrics"
    ):
        score(*TEXTS, ["spice"])
    monkeypatch.setattr(
        module,
        "asset_path",
        lambda name: tmp_path if name == "caption-metrics" else asset_path(name),
    )
    for name in ("spice", "spider"):
        with pytest.raises(MetricError, match=f"{name}: .*'spice-corenlp'.*h metrics`"):
            score(*TEXTS, [name])
