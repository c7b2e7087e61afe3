"""METEOR 1.5 and the PTB tokeniser in one Java machine, started once a process.

METEOR reads a large paraphrase table before its first score (5-9 s), so that it is read
once, in the background if `warm_up` is called early. Both run inside this process, by
JPype. Checked against the processes that aac-metrics starts: every token and every
score of its example files is the same, on Java 11, 17 and 25.
"""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import jpype
import jpype.config

from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError

OLDEST = 11
HEAP = "2g"  # METEOR fills 0.7 GB of it
REMEDY = (
    "install one (`apt-get install default-jre-headless`) or name it in "
    "AAC_METRICS_JAVA_PATH"
)
JARS = ("stanford_nlp/stanford-corenlp-3.4.1.jar", "meteor/meteor-1.5.jar")
_LIBRARIES = {"darwin": "libjvm.dylib", "win32": "jvm.dll"}
_KEEP_PUNCTUATION = 2  # what METEOR's option -norm stands for
_starting, _reading, _scoring = (threading.Lock() for _ in range(3))  # one at a time


@dataclass(frozen=True)
class Java:
    """An installed Java."""

    path: str  # the executable
    version: int  # the major one
    home: Path


def find_java() -> Java:
    """Return the Java to run; MetricError if there is none from version 11 on."""
    path = os.environ.get("AAC_METRICS_JAVA_PATH", "java")
    try:
        java = _ask(path)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise MetricError(
            f"needs Java {OLDEST} or later, and {path!r} does not run: {REMEDY}"
        ) from error
    if java.version < OLDEST:
        raise MetricError(
            f"needs Java {OLDEST} or later, and {path!r} is {java.version}: {REMEDY}"
        )
    return java


def ptb_tokenise(lines: list[str]) -> list[str]:
    """Split lines as the Penn Treebank does: lower-case tokens, joined by blanks.

    A line must not hold a line break. MetricError or AssetError if Java or its jars
    are missing.
    """
    _start()
    nlp = jpype.JPackage("edu").stanford.nlp
    with _explaining("the PTB tokeniser"):
        reader = jpype.java.io.StringReader("\n".join(lines))
        factory = nlp.process.WordTokenFactory()
        tokens = nlp.process.PTBTokenizer(reader, factory, "tokenizeNLs").tokenize()
        # as one string: crossing over from Java for every token would take longer
        text = nlp.ling.Sentence.listToString(tokens)
        text = str(text.toLowerCase(jpype.java.util.Locale.ENGLISH))
    split = text.split("*nl*")
    if len(split) != len(lines):
        raise MetricError(
            f"the PTB tokeniser returned {len(split)} lines for {len(lines)}"
        )
    return [line.strip() for line in split]


def meteor(
    candidates: list[str], mult_references: list[list[str]]
) -> tuple[float, list[float]]:
    """Score B tokenised candidates: METEOR of the corpus, and of each clip; in [0, 1].

    MetricError or AssetError if Java or its jars are missing, or if it fails.
    """
    _start()
    with _explaining("METEOR"), _scoring:
        scorer = _scorer()
        corpus, clips = jpype.JPackage("edu").cmu.meteor.scorer.MeteorStats(), []
        for candidate, references in zip(candidates, mult_references, strict=True):
            listed = jpype.java.util.ArrayList(references)
            found = scorer.getMeteorStats(candidate, listed)
            corpus.addStats(found)
            clips.append(float(found.score))
        scorer.computeMetrics(corpus)
        return float(corpus.score), clips


def warm_up() -> None:
    """Begin to read METEOR's table in the background; `meteor` raises what fails."""

    def read() -> None:
        with suppress(AssetError, MetricError, jpype.JException):
            _scorer()

    # not a daemon: ending Python while such a thread is inside Java can abort it
    threading.Thread(target=read, name="meteor").start()


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    try:
        yield
    except jpype.JException as error:
        raise MetricError(f"{what} failed: {error}") from error


def _scorer():
    _start()
    with _reading:
        return _read_scorer()


@cache
def _read_scorer():
    package = jpype.JPackage("edu").cmu.meteor.scorer
    configuration = package.MeteorConfiguration()
    configuration.setLanguage("en")
    configuration.setNormalization(_KEEP_PUNCTUATION)
    return package.MeteorScorer(configuration)


def _start() -> None:
    with _starting:
        _start_once()


@cache
def _start_once() -> None:
    folder = asset_path("caption-metrics") / "aac-metrics"
    jars = [str(folder / jar) for jar in JARS]
    if jpype.isJVMStarted():  # by other code of this process
        for jar in jars:
            jpype.addClassPath(jar)
        return
    java = find_java()
    jpype.config.destroy_jvm = False  # would wait for the thread that started it
    try:
        jpype.startJVM(
            *_options(java),
            jvmpath=str(_library(java)),
            classpath=jars,
            interrupt=False,
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise MetricError(f"{java.path!r} cannot be started here: {error}") from error


def _options(java: Java) -> list[str]:
    options = [f"-Xmx{HEAP}", "-XX:+UseSerialGC"]  # takes half of the others' memory
    options += ["-Xrs"]  # Ctrl-C and the like stay Python's
    options += ["-Duser.country=US", "-Duser.language=en"]  # as aac-metrics runs METEOR
    if java.version >= 24:  # which warns of JPype's own library
        options.append("--enable-native-access=ALL-UNNAMED")
    return options


def _library(java: Java) -> Path:
    name = _LIBRARIES.get(sys.platform, "libjvm.so")
    found = sorted(java.home.rglob(name), key=lambda path: path.parent.name != "server")
    if not found:
        raise MetricError(f"the Java in {java.home} has no {name}: {REMEDY}")
    return found[0]


@cache
def _ask(path: str) -> Java:
    """Run `java -version`; "1.8.0_292" is 8, "17" and "17.0.15" are 17."""
    told = subprocess.run(
        [path, "-XshowSettings:properties", "-version"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    text = told.stderr + told.stdout
    version = re.search(r'version "(?:1\.)?(\d+)', text)
    home = re.search(r"java\.home = (.+)", text)
    if version is None or home is None:
        raise ValueError(f"{path} -version printed no version")
    return Java(path, int(version[1]), Path(home[1].strip()))
