"""SPICE (Anderson et al. 2016), its authors' own program, as a process of its own.

The program serialises parts of Java that newer ones close to it, and writes its results
with a JavaScript engine, which left Java with version 15. So it is started with these
parts opened and with the engine Rhino. What it has parsed is kept in DRCAP_HOME:
references are parsed once for all systems.
"""

import json
import math
import os
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

from drcap import paths
from drcap.assets import asset_path
from drcap.errors import AssetError, MetricError
from drcap.evaluation.engine import Score
from drcap.evaluation.java import Java, find_java

MEMORY = "3G"
SYSTEM_RHINO = Path("/usr/share/java/js.jar")  # of Debian's librhino-java
WITHOUT_JAVASCRIPT = 15  # the first Java that brings no JavaScript engine
_MAIN = "edu.anu.spice.SpiceScorer"
_OPENED = ("lang", "math", "util", "util.concurrent", "net", "text")


def spice(candidates: list[str], mult_references: list[list[str]]) -> Score:
    """Score B tokenised candidates: the mean over clips, and each clip's; in [0, 1].

    About 45 new captions a second on two cores. AssetError says which file is missing
    and how to get it, MetricError that Java is missing or SPICE failed.
    """
    java = find_java()
    class_path = os.pathsep.join(map(str, _jars(java)))
    cache = paths.home() / "spice"
    cache.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="drcap-") as folder,
        FileLock(paths.home() / "spice.lock"),  # two at once in one cache can hang
    ):
        texts, results = (Path(folder) / name for name in ("texts.json", "scores.json"))
        texts.write_text(json.dumps(_pairs(candidates, mult_references)))
        command = [java.path, *_opened(), f"-Xmx{MEMORY}", "-cp", class_path, _MAIN]
        command += [str(texts), "-cache", str(cache), "-out", str(results), "-subset"]
        _run(command)
        scores = _read(results, len(candidates))
    return sum(scores) / len(scores), scores


def _jars(java: Java) -> list[Path]:
    folder = asset_path("caption-metrics") / "aac-metrics" / "spice"
    jars = [folder / "spice-1.0.jar", folder / "lib" / "*"]
    jars.append(asset_path("spice-corenlp") / "*")
    if java.version >= WITHOUT_JAVASCRIPT:
        jars.append(_rhino())
    return jars


def _rhino() -> Path:
    try:
        return asset_path("spice-rhino") / "js.jar"
    except AssetError:
        if SYSTEM_RHINO.is_file():
            return SYSTEM_RHINO
        raise


def _opened() -> list[str]:
    return [f"--add-opens=java.base/java.{name}=ALL-UNNAMED" for name in _OPENED]


def _pairs(candidates: list[str], mult_references: list[list[str]]) -> list[dict]:
    return [
        {"image_id": clip, "test": candidate, "refs": references}
        for clip, (candidate, references) in enumerate(
            zip(candidates, mult_references, strict=True)
        )
    ]


def _run(command: list[str]) -> None:
    try:
        told = subprocess.run(command, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise MetricError(f"SPICE does not start: {error}") from error
    if told.returncode != 0:
        lines = [line.strip() for line in told.stderr.splitlines() if line.strip()]
        causes = [line for line in lines if "Error" in line or "Exception" in line]
        cause = next(iter(causes or lines[-1:]), "it gave no reason")
        raise MetricError(f"SPICE ended with code {told.returncode}: {cause}")


def _read(results: Path, count: int) -> list[float]:
    try:
        found = {
            item["image_id"]: float(item["scores"]["All"]["f"])
            for item in json.loads(results.read_text(encoding="utf-8"))
        }
        scores = [found[clip] for clip in range(count)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MetricError(f"SPICE left no scores to be read: {error!r}") from error
    if wrong := [clip for clip, value in enumerate(scores) if not math.isfinite(value)]:
        raise MetricError(f"SPICE gave clip {wrong[0]} no score")
    return scores
