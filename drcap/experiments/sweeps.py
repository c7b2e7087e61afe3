"""One setting of inference varied, on validation clips: nothing is tuned to test clips.

In go an experiment and named changes, out come the scores of its captioner under each.
The captioner is loaded once; embeddings and similar captions are the grid's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from drcap.config import override
from drcap.evaluation.metrics import score
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.prediction import (
    decode,
    load_captioner,
    similar_captions,
    support_captions,
)
from drcap.experiments.training import configuration

METRICS = ("cider_d", "meteor")


def sweep(
    experiment: Experiment,
    materials: Materials,
    variants: Mapping[str, Mapping[str, Any]],
    *,
    subset: str = "val",
    support_sizes: Mapping[str, int] | None = None,
) -> pd.DataFrame:
    """Caption a subset once a variant; one row each, in order.

    variants : name -> nested changes of the configuration, of inference alone
    support_sizes : name -> how many captions of the support that variant keeps, drawn
        by the experiment's seed; a larger one holds a smaller one
    returns : `variant`, METRICS in per cent, `copied` (the share of captions that equal
        one in their prompt) and `words` (the mean length)
    """
    config = configuration(experiment, materials)
    clips = materials.clips(experiment.test, subset)
    space = materials.space(experiment.clap)
    audio = space.audio(clips)
    support = torch.from_numpy(space.text(support_captions(experiment, materials)))
    order = np.random.default_rng(experiment.seed).permutation(len(support))
    similar = similar_captions(experiment, materials, clips)
    captioner = load_captioner(experiment, materials)
    references = [list(clip.captions) for clip in clips]
    rows = []
    for name, changes in tqdm(variants.items(), "sweeping", unit="variant"):
        changed = override(config, dict(changes))
        size = (support_sizes or {}).get(name, len(support))
        kept = support[np.sort(order[:size])]
        candidates = decode(
            captioner, audio, kept, similar, changed, space.clap.temperature
        )
        found = score(candidates, references, METRICS).corpus
        top_k = changed.retrieval.top_k if changed.retrieval.enabled else 0
        prompts = [[m.caption for m in matches[:top_k]] for matches in similar]
        rows.append(
            {"variant": name}
            | {metric: 100 * found[metric] for metric in METRICS}
            | {
                "copied": copied_share(candidates, prompts),
                "words": float(np.mean([len(text.split()) for text in candidates])),
            }
        )
    return pd.DataFrame(rows)


def copied_share(candidates: list[str], prompts: list[list[str]]) -> float:
    """Return the share of captions that equal one of their prompt (sec. II-B).

    Compared without case and final full stop: what the language model would have to
    change to say something of its own.
    """
    same = [
        _plain(candidate) in map(_plain, prompt)
        for candidate, prompt in zip(candidates, prompts, strict=True)
    ]
    return float(np.mean(same))


def _plain(caption: str) -> str:
    return caption.strip().rstrip(".").lower()
