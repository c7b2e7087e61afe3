"""The Java machine: which Java is taken, what runs in it, and how a process ends."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from functools import cache

import pandas as pd
import pytest

from drcap import paths
from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation import engine, java

TEXTS = ["A dog barks, loudly!", "", "it's 5.5 (metres)", "*NL* is no line", ""]


def fake_java(folder, script):
    path = folder / "java"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def not_started(monkeypatch):
    """As in a process in which Java has not been started."""
    monkeypatch.setattr(java, "_start_once", cache(java._start_once.__wrapped__))
    monkeypatch.setattr(java, "_read_scorer", cache(java._read_scorer.__wrapped__))
    monkeypatch.setattr(java.jpype, "isJVMStarted", lambda: False)


@pytest.mark.parametrize(
    ("printed", "version"),
    [
        ('openjdk version "17" 2021-09-14', 17),
        ('openjdk version "25.0.4.1" 2026-01-20', 25),
        ('Picked up JAVA_TOOL_OPTIONS: -Xmx1g\nopenjdk version "11.0.13" x', 11),
    ],
)
def test_every_form_of_java_version_is_read(tmp_path, monkeypatch, printed, version):
    script = f"printf '    java.home = /opt/a java\\n{printed}\\n' >&2"
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", fake_java(tmp_path, script))
    found = java.find_java()
    assert (found.version, str(found.home)) == (version, "/opt/a java")


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("echo 'java.home = /x\njava version \"1.8.0_292\"' >&2", "is 8: install one"),
        ("echo nothing of use", "does not run: install one"),
        ("exit 1", "does not run: install one"),
    ],
)
def test_an_unusable_java_is_named(tmp_path, monkeypatch, script, message):
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", fake_java(tmp_path, script))
    with pytest.raises(MetricError, match=f"needs Java 11 or later.*{message}"):
        java.find_java()


def test_a_missing_java_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", str(tmp_path / "java"))
    with pytest.raises(MetricError, match=f"{tmp_path}/java' does not run: install"):
        java.find_java()


def test_a_java_without_its_library_is_named(tmp_path, monkeypatch, not_started):
    script = f"printf 'java.home = {tmp_path}\\nversion \"17\"\\n' >&2"
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", fake_java(tmp_path, script))
    monkeypatch.setattr(java, "asset_path", lambda name: tmp_path)
    with pytest.raises(MetricError, match=f"the Java in {tmp_path} has no libjvm"):
        java.ptb_tokenise(["a dog"])


def test_a_java_that_cannot_start_is_reported_with_its_reason(
    tmp_path, monkeypatch, not_started
):
    def refuse(*options, **settings):
        raise OSError("[Errno 12] Cannot allocate memory")

    server = tmp_path / "lib" / "server" / "libjvm.so"
    server.parent.mkdir(parents=True)
    server.touch()
    monkeypatch.setattr(java.sys, "platform", "linux")
    monkeypatch.setattr(java, "asset_path", lambda name: tmp_path)
    monkeypatch.setattr(java, "_ask", lambda path: java.Java(path, 17, tmp_path))
    monkeypatch.setattr(java.jpype, "startJVM", refuse)
    with pytest.raises(MetricError, match="'java' cannot be started here: .*allocate"):
        java.meteor(["a dog"], [["a dog"]])


def test_only_a_java_that_warns_of_native_access_is_told_to_allow_it(tmp_path):
    old, new = (java._options(java.Java("java", n, tmp_path)) for n in (17, 25))
    assert set(new) - set(old) == {"--enable-native-access=ALL-UNNAMED"}


def test_what_fails_while_warming_up_is_said_when_it_is_needed(
    tmp_path, monkeypatch, not_started, capfd
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    java.warm_up()
    for thread in threading.enumerate():
        if thread.name == "meteor":
            thread.join()
    assert capfd.readouterr() == ("", "")
    with pytest.raises(AssetError, match="drcap assets fetch caption-metrics"):
        java.meteor(["a dog"], [["a dog"]])


def test_the_table_is_read_once_by_all_who_need_it(monkeypatch):
    reads = []

    @cache
    def read():
        reads.append(time.sleep(0.05))
        return "the scorer"

    monkeypatch.setattr(java, "_start", lambda: None)
    monkeypatch.setattr(java, "_read_scorer", read)
    java.warm_up()
    java.warm_up()
    assert java._scorer() == "the scorer"
    assert len(reads) == 1


# --- the real Java ----------------------------------------------------------------


@pytest.fixture
def any_java(monkeypatch):
    """Let aac-metrics' own processes run on the Java that is here."""
    engine.functional()
    from aac_metrics.utils import checks

    monkeypatch.setattr(checks, "MAX_JAVA_MAJOR_VERSION", 99)
    monkeypatch.setattr(checks, "_get_java_version", lambda path: "17.0.0")
    cache_path = str(asset_path("caption-metrics"))
    return {"cache_path": cache_path, "java_path": java.find_java().path}


def examples():
    for number in (1, 2):
        path = asset_path("aac-metrics-examples") / f"example_{number}.csv"
        yield pd.read_csv(path, keep_default_na=False)


@pytest.mark.slow
def test_the_tokeniser_keeps_one_text_a_line():
    assert engine.ptb_tokenise([*TEXTS, "two\nlines"]) == [
        "a dog barks loudly",
        "",
        "it 's 5.5 -lrb- metres -rrb-",
        "* nl * is no line",
        "",
        "two lines",
    ]
    assert java.ptb_tokenise([""]) == [""]


@pytest.mark.slow
def test_tokens_are_those_of_aac_metrics_own_process(any_java, tmp_path):
    from aac_metrics.utils.tokenization import preprocess_mono_sents

    texts = [
        text
        for table in examples()
        for name in table.filter(like="caption_")
        for text in table[name]
    ]
    expected = preprocess_mono_sents(texts, tmp_path=str(tmp_path), **any_java)
    assert len(texts) == 6 * (464 + 912)
    assert engine.ptb_tokenise(texts) == expected


@pytest.mark.slow
def test_meteor_is_that_of_aac_metrics_own_process(any_java):
    table = next(examples())[:100]
    candidates = engine.ptb_tokenise(table["caption_predicted"].tolist())
    mult_references = [
        engine.ptb_tokenise(row)
        for row in table[["caption_1", "caption_2"]].to_numpy().tolist()
    ]
    corpus, clips = engine.call("meteor", candidates, mult_references, **any_java)
    found, found_clips = java.meteor(candidates, mult_references)
    assert found == pytest.approx(corpus, abs=1e-12)
    assert found_clips == pytest.approx(clips, abs=1e-12)


SCRIPT = """
import faulthandler, sys, threading
faulthandler.enable()
import faiss, numpy, sentence_transformers, torch
from drcap.evaluation import java
starter = threading.Thread(target=java._start)
starter.start(), starter.join()
java.warm_up()
index = faiss.IndexFlatIP(8)
index.add(numpy.eye(8, dtype="float32"))
found = index.search(numpy.eye(8, dtype="float32"), 1)[1].ravel().tolist()
product = (torch.eye(300) @ torch.eye(300)).trace().item()
tokens = []
worker = threading.Thread(target=lambda: tokens.extend(java.ptb_tokenise(["A dog."])))
worker.start(), worker.join()
print(found, product, tokens)
{end}
print(java.meteor(["a dog"], [["a dog"]])[0] > 0.9)
"""


def run(script):
    environment = {**os.environ, "DRCAP_HOME": str(paths.home()), "PYTHONPATH": ""}
    return subprocess.run(
        [sys.executable, "-c", script],
        **{"capture_output": True, "text": True, "timeout": 120},
        env=environment,
        cwd=tempfile.gettempdir(),
    )


@pytest.mark.slow
def test_java_lives_beside_torch_and_faiss_and_ends_quietly():
    told = run(SCRIPT.format(end=""))
    assert told.stdout.splitlines() == [
        "[0, 1, 2, 3, 4, 5, 6, 7] 300.0 ['a dog .']",
        "True",
    ]
    assert (told.stderr, told.returncode) == ("", 0)


@pytest.mark.slow
def test_a_process_that_fails_while_the_table_is_read_ends_with_its_own_error():
    told = run(SCRIPT.format(end="raise SystemExit(3)"))
    assert (told.stderr, told.returncode) == ("", 3)
