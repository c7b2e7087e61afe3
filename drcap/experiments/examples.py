"""Clips on which two experiments differ most, to be looked at and listened to."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drcap.data.clip import Clip
from drcap.evaluation.metrics import Scores
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.run import read_predictions

REFERENCES = 2  # of a clip's captions are shown


@dataclass(frozen=True)
class Contrast:
    """One clip, captioned by two experiments."""

    clip: Clip
    candidates: dict[str, str]  # name of an experiment -> its caption
    similar: list[str]  # the captions in the first experiment's prompt
    gain: float  # CIDEr-D of the first less that of the second, points of per cent

    def __str__(self) -> str:
        """Both captions, the first in the prompt, two references and the gain."""
        lines = [f"{name}: {caption}" for name, caption in self.candidates.items()]
        lines += [f"Retrieved: {caption}" for caption in self.similar[:1]]
        lines.append(f"References: {' / '.join(self.clip.captions[:REFERENCES])}")
        return "\n".join([*lines, f"CIDEr-D {self.gain:+.0f}"])


def contrasts(
    pair: Mapping[str, Experiment],
    results: Mapping[Experiment, Scores],
    materials: Materials,
    reports: Path,
    *,
    count: int = 2,
) -> list[Contrast]:
    """Return `count` clips where the first does best against the second, then worst.

    pair : two names and their experiments, which caption the same clips
    """
    first, second = pair.values()
    scores = [np.array(results[run].per_clip["cider_d"]) for run in (first, second)]
    gains = 100 * (scores[0] - scores[1])
    order = np.argsort(-gains, kind="stable")
    chosen = list(dict.fromkeys([*order[:count], *order[-count:]]))
    clips = {clip.clip_id: clip for clip in materials.clips(first.test, "test")}
    records = {name: read_predictions(run, reports) for name, run in pair.items()}
    prompts = next(iter(records.values()))
    return [
        Contrast(
            clips[prompts[row]["clip_id"]],
            {name: lines[row]["candidate"] for name, lines in records.items()},
            [match["caption"] for match in prompts[row]["similar_captions"]],
            float(gains[row]),
        )
        for row in chosen
    ]
