"""SPICE (Anderson et al. 2016), its authors' own program, as a process of its own.

The program serialises parts of Java that newer ones close to it, and writes its results
with a JavaScript engine, which left Java with version 15. So it is started with these
parts opened and with the engine Rhino. It keeps what it parsed in DRCAP_HOME/spice: a
caption is parsed once for all systems and all runs. Checked against the official scores
of aac-metrics' two example files, clip by clip.
"""

import json
import math
import os
import subprocess
import tempfile
from itertools import chain
from pathlib import Path

from filelock import FileLock

from drcap import paths
from drcap.assets import asset_path
from drcap.errors import MetricError
from drcap.evaluation.java import java_home

MEMORY = "3G"
_MAIN = "edu.anu.spice.SpiceScorer"
_OPENED = ("lang", "math", "util", "util.concurrent", "net", "text")


def spice(candidates: list[str], mult_references: list[list[str]]) -> list[float]:
    """Score B tokenised candidates of any number of systems: (B,), in [0, 1].

    Takes 10 s for the models if any caption is new, and then 25 ms a new caption on two
    cores. AssetError if a file is missing, MetricError if Java is or SPICE fails.
    """
    folder = asset_path("caption-metrics") / "aac-metrics" / "spice"
    jars = [folder / "spice-1.0.jar", folder / "lib" / "*"]
    jars += [asset_path("spice-corenlp") / "*", asset_path("spice-rhino") / "js.jar"]
    java = [str(java_home() / "bin" / "java"), f"-Xmx{MEMORY}"]
    java += [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED]
    java += ["-cp", os.pathsep.join(map(str, jars)), _MAIN]
    kept = paths.home() / "spice"
    kept.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="drcap-") as folder,
        FileLock(paths.home() / "spice.lock"),  # two at once in one cache can hang
    ):
        texts, results = Path(folder) / "texts.json", Path(folder) / "scores.json"
        command = [*java, str(texts), "-cache", str(kept), "-silent"]
        captions = [*candidates, *chain.from_iterable(mult_references)]
        distinct = list(dict.fromkeys(captions))
        if len(distinct) < len(captions):
            # first by themselves: SPICE parses a new caption as often as it occurs
            _write(texts, distinct, [[] for _ in distinct])
            _run(command)
        _write(texts, candidates, mult_references)
        _run([*command, "-out", str(results)])
        return _read(results, len(candidates))


def _write(path: Path, candidates: list[str], mult_references: list[list[str]]) -> None:
    pairs = zip(candidates, mult_references, strict=True)
    items = [
        {"image_id": clip, "test": candidate, "refs": references}
        for clip, (candidate, references) in enumerate(pairs)
    ]
    path.write_text(json.dumps(items), encoding="utf-8")


def _run(command: list[str]) -> None:
    try:
        options = {"capture_output": True, "text": True, "errors": "replace"}
        ended = subprocess.run(command, **options)
    except OSError as error:
        raise MetricError(f"SPICE does not start: {error}") from error
    if ended.returncode != 0:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()]
        # what Java prints where JAVA_TOOL_OPTIONS is set
        lines = [line for line in lines if not line.startswith("Picked up ")]
        causes = [line for line in lines if "Error" in line or "Exception" in line]
        cause = next(iter(causes or lines[-1:]), "it gave no reason")
        raise MetricError(f"SPICE ended with code {ended.returncode}: {cause}")


def _read(results: Path, count: int) -> list[float]:
    try:
        items = json.loads(results.read_text(encoding="utf-8"))
        by_clip = {item["image_id"]: item["scores"]["All"]["f"] for item in items}
        scores = [float(by_clip[clip]) for clip in range(count)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricError(f"SPICE left no scores to be read: {error!r}") from error
    for clip, value in enumerate(scores):
        if not math.isfinite(value):
            raise MetricError(f"SPICE gave clip {clip} no score")
    return scores
