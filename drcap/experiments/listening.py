"""What does the captioner listen to? DRCap with one of its inputs taken away (ours).

A prompt holds the projected embedding and retrieved captions (sec. II). Whatever score
stays when one of them is taken away, or is another clip's, the captioner has without
it. All conditions are of inference: none trains a captioner. Validation clips will do.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from drcap.config import override
from drcap.data.clip import Clip
from drcap.evaluation.bootstrap import compare, interval
from drcap.evaluation.metrics import score_systems
from drcap.modality_gap import mean_shift
from drcap.systems.base import ClipBatch
from drcap.systems.drcap import DRCap

# condition -> what the mapper reads, and which retrieved captions the prompt holds
CONDITIONS = {
    "as it is": ("projected", "own"),
    "w/o PD": ("audio", "own"),
    "mean shift instead of PD": ("shifted", "own"),
    "no retrieved captions": ("projected", "none"),
    "w/o PD, no retrieved captions": ("audio", "none"),
    "retrieved captions shuffled": ("projected", "shuffled"),
    "embedding of zeros": ("zeros", "own"),
    "embeddings shuffled": ("shuffled", "own"),
}


def listen(
    model: DRCap,
    batch: ClipBatch,
    *,
    rows: Sequence[int] | None = None,
    conditions: Sequence[str] = tuple(CONDITIONS),
    seed: int = 0,
) -> pd.DataFrame:
    """Caption clips once a condition: a row a clip, by its id, and a column each.

    model : fitted in the joint space of the clips
    batch : two clips or more, all audible, with the captions of the support S
    rows : which of them to caption, None for all; the mean that is shifted, and what is
        shuffled, is of all
    seed : of the shuffling, which gives every clip another's

    Of the beams the likeliest is taken. KeyError for an unknown condition.
    """
    audio, similar = model.space.audio(batch.clips), model.similar(batch)
    support = model.space.text(batch.captions)  # (N, D)
    shifted = mean_shift(audio.numpy(), audio.numpy().mean(0), support.mean(0))
    order = np.random.default_rng(seed).permutation(len(audio))
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)  # a cycle: no clip keeps its own
    embeddings = {
        "projected": audio,
        "shuffled": audio[other],
        "audio": audio,
        "shifted": torch.from_numpy(shifted),
        "zeros": torch.zeros_like(audio),
    }
    prompts = {
        "own": similar,
        "shuffled": [similar[row] for row in other],
        "none": [[] for _ in similar],
    }
    rows = list(range(len(audio)) if rows is None else rows)
    captions = {}
    for condition in conditions:
        reads, holds = CONDITIONS[condition]
        changes = {"projection": {"enabled": reads in ("projected", "shuffled")}}
        changes["generation"] = {"choice": "first_beam"}
        captions[condition] = model.adjusted(override(model.config, changes)).decode(
            embeddings[reads][rows],
            [prompts[holds][row] for row in rows],
            support,
            None,
        )
    ids = pd.Index([batch.clips[row].clip_id for row in rows], name="clip_id")
    return pd.DataFrame(captions, index=ids)


def listening_scores(captions: pd.DataFrame, clips: Sequence[Clip]) -> pd.DataFrame:
    """Score what `listen` returned, a row a condition, against the clips' captions.

    returns : `condition`; `cider_d` in per cent with its 95 % interval `low` to `high`;
        `loss`, what it lies below the first condition in points, `loss_low` to
        `loss_high`; `words`, the mean length; `distinct`, the share that differ
    """
    references = {clip.clip_id: list(clip.captions) for clip in clips}
    references = [references[clip_id] for clip_id in captions.index]
    texts = {name: (captions[name].tolist(), references) for name in captions}
    lines, first = [], None
    for condition, scores in score_systems(texts, ["cider_d"]).items():
        per_clip = 100 * np.array(scores.per_clip["cider_d"])
        first = per_clip if first is None else first
        own, loss = interval(per_clip), compare(first, per_clip)
        candidates = texts[condition][0]
        lines.append(
            {
                "condition": condition,
                "cider_d": own.mean,
                "low": own.low,
                "high": own.high,
                "loss": loss.mean,
                "loss_low": loss.low,
                "loss_high": loss.high,
                "words": np.mean([len(text.split()) for text in candidates]),
                "distinct": len(set(candidates)) / len(candidates),
            }
        )
    return pd.DataFrame(lines)
