"""aac-metrics 0.6.0, set up so that it runs offline.

The package imports msclap at the top, which clashes with this torch: a stand-in takes
its place. It would start Java for each call of METEOR and of the tokeniser:
`drcap.evaluation.java` takes their place.
"""

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

from drcap.errors import MetricError
from drcap.evaluation import java

INSTALL = "pip install --no-deps -r requirements-no-deps.txt"

Score = tuple[float, list[float]]  # of the corpus, of each clip

_tokenised: dict[str, str] = {}  # references come again with every system


def functional() -> ModuleType:
    """Import `aac_metrics.functional` (5-9 s the first time); MetricError if absent."""
    if importlib.util.find_spec("aac_metrics") is None:
        raise MetricError(f"the aac-metrics package is missing: run `{INSTALL}`")
    if "msclap" not in sys.modules and importlib.util.find_spec("msclap") is None:
        stand_in = sys.modules["msclap"] = ModuleType("msclap")
        stand_in.__spec__ = ModuleSpec("msclap", loader=None)  # find_spec asks for one
        stand_in.CLAP = type("CLAP", (), {})
    from aac_metrics import functional

    return functional


def call(name: str, *texts: list, **options) -> Score:
    """Return the scores of the aac-metrics function `name` on these texts."""
    corpus, clips = getattr(functional(), name)(*texts, **options)
    return float(corpus[name]), [float(value) for value in clips[name]]


def mean(clips: list[float]) -> Score:
    """Return the score of a metric whose corpus score is the mean over clips."""
    return sum(clips) / len(clips), clips


def ptb_tokenise(sentences: list[str]) -> list[str]:
    """Lower-case sentences and split off punctuation as the Penn Treebank does.

    Returns each as words joined by single blanks, without the punctuation marks that
    aac-metrics drops. A line break would end a sentence, and counts as a blank. Each
    sentence is tokenised once a process. Errors are those of `java.ptb_tokenise`.
    """
    functional()
    from aac_metrics.utils.tokenization import PTB_PUNCTUATIONS

    if new := [text for text in dict.fromkeys(sentences) if text not in _tokenised]:
        lines = java.ptb_tokenise([" ".join(text.split()) for text in new])
        for text, line in zip(new, lines, strict=True):
            words = (word for word in line.split(" ") if word not in PTB_PUNCTUATIONS)
            _tokenised[text] = " ".join(words)
    return [_tokenised[text] for text in sentences]
