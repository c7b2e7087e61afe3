"""aac-metrics 0.6.0, set up so that it runs offline and on any Java from version 8 on.

Three things stand between the package and a machine like that: it imports msclap at the
top, it refuses Java 14 and later, and its version parser fails on "17". The values do
not depend on the Java version: METEOR and the tokeniser agree on 11, 17 and 25.
"""

import importlib.util
import re
import subprocess
import sys
import tempfile
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType

from drcap.assets import asset_path
from drcap.errors import MetricError

INSTALL = "pip install --no-deps -r requirements-no-deps.txt"
OLDEST_JAVA = 8


def functional() -> ModuleType:
    """Import `aac_metrics.functional` (5-9 s the first time); MetricError if absent."""
    if importlib.util.find_spec("aac_metrics") is None:
        raise MetricError(f"the aac-metrics package is missing: run `{INSTALL}`")
    if "msclap" not in sys.modules and importlib.util.find_spec("msclap") is None:
        sys.modules["msclap"] = _stand_in_for_msclap()
    from aac_metrics import functional
    from aac_metrics.utils import checks

    checks.MAX_JAVA_MAJOR_VERSION = 99
    checks._get_java_version = lambda java: f"{_java_version(java)}.0.0"
    return functional


def java_path() -> str:
    """Return the Java to run; MetricError if there is none from version 8 on."""
    functional()
    from aac_metrics import get_default_java_path

    java = get_default_java_path()
    remedy = (
        "install one (`apt-get install default-jre-headless`) or name it in "
        "AAC_METRICS_JAVA_PATH"
    )
    try:
        version = _java_version(java)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise MetricError(
            f"needs Java {OLDEST_JAVA} or later, and {java!r} does not run: {remedy}"
        ) from error
    if version < OLDEST_JAVA:
        raise MetricError(
            f"needs Java {OLDEST_JAVA} or later, and {java!r} is {version}: {remedy}"
        )
    return java


def java_tools() -> dict[str, str]:
    """Return where aac-metrics finds its jars and the Java that runs them.

    Raises AssetError if the jars are missing, MetricError if Java is.
    """
    return {
        "cache_path": str(asset_path("caption-metrics")),
        "java_path": java_path(),
    }


def ptb_tokenise(sentences: list[str]) -> list[str]:
    """Lower-case sentences and split off punctuation as the Penn Treebank does.

    Each comes back as words joined by single blanks. A line break would end a sentence
    early, so that white space counts as one blank. Errors as in `java_tools`.
    """
    tools = java_tools()
    from aac_metrics.utils.tokenization import preprocess_mono_sents

    lines = [" ".join(sentence.split()) for sentence in sentences]
    with tempfile.TemporaryDirectory(prefix="drcap-") as folder:
        try:
            return preprocess_mono_sents(lines, tmp_path=folder, **tools)
        except (RuntimeError, OSError) as error:
            raise MetricError(f"the PTB tokeniser failed: {error}") from error


@cache
def _java_version(java: str) -> int:
    """Return the major version; "1.8.0_292" is 8, "17" and "17.0.15" are 17."""
    told = subprocess.run(
        [java, "-version"], capture_output=True, text=True, check=True, timeout=60
    )
    found = re.search(r'version "(?:1\.)?(\d+)', told.stderr + told.stdout)
    if found is None:
        raise ValueError(f"{java} -version printed no version")
    return int(found[1])


def _stand_in_for_msclap() -> ModuleType:
    class CLAP:
        def __init__(self, *args, **kwargs):
            raise ImportError("msclap is not installed: pass a CLAP model of your own")

    module = ModuleType("msclap")
    module.__spec__ = ModuleSpec("msclap", loader=None)  # find_spec asks for one
    module.CLAP = CLAP
    return module
