"""One setting of inference varied, on validation clips: nothing is tuned to test clips.

In go an experiment and named changes, out come the scores of its captioner under each.
The captioner is loaded once; embeddings and similar captions are the grid's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from drcap.config import override
from drcap.evaluation.metrics import score
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.run import clip_batch, configuration, load_system

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
    batch = clip_batch(experiment, materials, subset)
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
        rows.append(
            {"variant": name}
            | {metric: 100 * scores[metric] for metric in METRICS}
            | {
                "copied": copied_share(candidates, prompts),
                "words": float(np.mean([len(text.split()) for text in candidates])),
            }
        )
    return pd.DataFrame(rows)


def copied_share(candidates: Sequence[str], prompts: Sequence[Sequence[str]]) -> float:
    """Return the share of captions that equal one of their prompt (sec. II-B).

    Compared without case and final full stop.
    """
    copies = [
        _plain(candidate) in map(_plain, prompt)
        for candidate, prompt in zip(candidates, prompts, strict=True)
    ]
    return float(np.mean(copies))


def _plain(caption: str) -> str:
    return caption.strip().rstrip(".").lower()
