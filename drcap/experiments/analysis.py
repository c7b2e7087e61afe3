"""A closer look at experiments: one setting varied, clips, and where prompts are from.

`sweep` captions validation clips, so that nothing is tuned to test clips. `contrasts`
shows clips on which two experiments differ most, to be looked at and listened to.
`origins` says from which corpus the captions of a prompt are (sec. III-A).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from drcap.config import override
from drcap.data.clip import Clip
from drcap.evaluation.metrics import Scores, score
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.run import (
    clip_batch,
    configuration,
    load_system,
    read_predictions,
)
from drcap.retrieval import Match

METRICS = ("cider_d", "meteor")
REFERENCES = 2  # of a clip's captions are shown


def sweep(
    experiment: Experiment,
    materials: Materials,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    support_sizes: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Caption the validation clips once a variant; one row each, in order.

    variants : name -> nested changes of the configuration, of inference alone
    support_sizes : name -> how many captions of the support that variant keeps, drawn
        by the experiment's seed; a larger one holds a smaller one
    returns : `variant`, METRICS in per cent, `copied` (the share of captions that equal
        one in their prompt) and `words` (the mean length)
    """
    config = configuration(experiment, materials)
    batch = clip_batch(experiment, materials, "val")
    order = np.random.default_rng(experiment.seed).permutation(len(batch.captions))
    system = load_system(experiment, materials)
    references = [list(clip.captions) for clip in batch.clips]
    rows = []
    for name, changes in tqdm(variants.items(), "sweeping", unit="variant"):
        kept = np.sort(order[: (support_sizes or {}).get(name)])
        support = [batch.captions[row] for row in kept]
        variant = system.adjusted(override(config, dict(changes)))
        results = variant.caption_clips(replace(batch, captions=support))
        candidates = [result.caption for result in results]
        prompts = [[m.caption for m in r.similar_captions] for r in results]
        scores = score(candidates, references, METRICS).corpus
        row = {"variant": name}
        row |= {metric: 100 * scores[metric] for metric in METRICS}
        row["copied"] = copied_share(candidates, prompts)
        row["words"] = float(np.mean([len(text.split()) for text in candidates]))
        rows.append(row)
    return pd.DataFrame(rows)


def copied_share(candidates: Sequence[str], prompts: Sequence[Sequence[str]]) -> float:
    """Return the share of captions that equal one of their prompt (sec. II-B).

    Case and final full stop do not count.
    """

    def plain(caption: str) -> str:
        return caption.strip().rstrip(".").lower()

    pairs = zip(candidates, prompts, strict=True)
    return float(np.mean([plain(text) in map(plain, prompt) for text, prompt in pairs]))


def wording(captions: Sequence[str]) -> dict[str, float]:
    """Return the mean length in words and the number of different words.

    Case and punctuation do not count.
    """
    words = [re.findall(r"\w[\w'-]*", text.lower()) for text in captions]
    mean = sum(map(len, words)) / len(words)
    return {"words, mean": mean, "different words": len(set().union(*words))}


@dataclass(frozen=True)
class Contrast:
    """One clip, captioned by two experiments."""

    clip: Clip
    candidates: dict[str, str]  # name of an experiment -> its caption
    similar: list[str]  # the captions in the first experiment's prompt
    gain: float  # CIDEr-D of the first less that of the second, points of per cent

    def __str__(self) -> str:
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
    chosen = dict.fromkeys([*order[:count], *order[-count:]])
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


def origins(materials: Materials) -> dict[str, set[str]]:
    """Return each corpus's own captions of the datastore, by the corpus's name."""
    names = materials.names.items()
    targets = {name: set(materials.training_captions(domain)) for domain, name in names}
    known = set().union(*targets.values())
    return {materials.weak_name: set(materials.captions) - known} | targets


def origin_shares(
    prompts: Mapping[str, Sequence[Sequence[Match]]],
    captions: Mapping[str, set[str]],
    top_k: int,
) -> pd.DataFrame:
    """Return which share of the captions in prompts each corpus gave.

    prompts : name of a row -> retrieved captions of B clips, of which top_k count
    captions : corpus -> its captions; one that several have counts in part for each
    """
    rows = {}
    for name, retrieved in prompts.items():
        texts = [match.caption for matches in retrieved for match in matches[:top_k]]
        held = np.array([[text in own for own in captions.values()] for text in texts])
        parts = held / held.sum(axis=1, keepdims=True).clip(1)  # (captions, corpora)
        rows[name] = parts.sum(axis=0) / len(texts)
    return pd.DataFrame.from_dict(rows, orient="index", columns=list(captions))
