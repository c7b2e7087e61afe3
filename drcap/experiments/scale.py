"""A scale for the scores: what people, the truth and shuffled captions would get.

A CIDEr-D says little by itself. Beside the systems stand the references, each against
the others of its clip; and, on the procedural corpora, whose truth is known, each scene
told by a grammar, in the corpus' own style, in the other's and in that of the weak
captions, so that only the words differ. What needs no words is counted too: which
events of the truth a caption names, which of those it names are there, and in which
order.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from drcap.data.clip import Clip
from drcap.evaluation.bootstrap import interval
from drcap.evaluation.metrics import HUMAN, SHUFFLED, Scores, scores_beside_people
from drcap.experiments.effects import did_not_learn, seed_scores
from drcap.experiments.grid import ROWS, Experiment, row_experiment
from drcap.experiments.materials import Materials
from drcap.experiments.results import read_predictions
from soundscapes import captions
from soundscapes.named import compare_with_scene
from soundscapes.scenes import PlacedEvent, Scene

METRICS = ("cider_d", SHUFFLED)
REFERENCES = "references, leave-one-out"
STYLES = {"ac": captions.audiocaps_like, "cl": captions.clotho_like}
EVENTS = {"found": "events found", "right": "events right", "in_order": "in order"}


def scene_of(truth: Mapping) -> Scene:
    """Return the scene of a clip from its entry in truth.jsonl."""
    events = tuple(PlacedEvent(**event) for event in truth["scene"]["events"])
    return Scene(**{**truth["scene"], "events": events})


def told(scenes: Sequence[Scene], domain: str) -> dict[str, list[str]]:
    """Return what the scenes of a domain's clips are told as, by each grammar."""
    [other] = STYLES.keys() - {domain}
    styles: dict[str, Callable] = {
        "truth, in the corpus' style": STYLES[domain],
        "truth, in the other corpus' style": STYLES[other],
        "truth, in the weak captions' style": captions.weak,
    }
    return {
        name: [tell(scene, np.random.default_rng(scene.seed)) for scene in scenes]
        for name, tell in styles.items()
    }


def event_shares(texts: Sequence[str], scenes: Sequence[Scene]) -> dict[str, float]:
    """Return EVENTS over all clips: recall, precision and order; NaN of none."""
    pairs = zip(texts, scenes, strict=True)
    counts = [compare_with_scene(text, scene) for text, scene in pairs]
    sums = {key: np.sum([count[key] for count in counts], axis=0) for key in EVENTS}
    return {
        name: sums[key][0] / sums[key][1] if sums[key][1] else float("nan")
        for key, name in EVENTS.items()
    }


def score_scale(
    results: Mapping[Experiment, Scores], materials: Materials, reports: Path
) -> pd.DataFrame:
    """Return the scale and every system on it: a row each, by the corpus of the clips.

    Columns are clips of, row, trained on (empty for the scale), CIDEr-D in per cent,
    low to high (its 95 % interval), shuffled (the same captions dealt out among the
    clips), did not learn (as `effects.did_not_learn`), seeds, and EVENTS, as shares,
    NaN where the truth is not known.
    """
    lines = []
    for domain, corpus in materials.names.items():
        clips = materials.clips(domain, "test")
        scenes = _scenes(materials, clips)
        texts = told(scenes, domain) if scenes else {}
        references = [list(clip.captions) for clip in clips]
        scale = scores_beside_people(texts, references, METRICS)
        turns = zip(*references, strict=False)  # all first captions, all second ...
        rows = {(REFERENCES, ""): ([scale.pop(HUMAN)], [*turns])}
        rows |= {(name, ""): ([scale[name]], [texts[name]]) for name in scale}
        for row, (train, source) in product(ROWS, materials.names.items()):
            first = row_experiment(row, train, domain)
            if keys := [e for e in sorted(results) if replace(e, seed=0) == first]:
                said = [read_predictions(key, reports) for key in keys]
                rows[row, source] = (
                    [results[key] for key in keys],
                    [[line["candidate"] for line in own] for own in said],
                )
        for (name, source), (runs, told_as) in rows.items():
            bounds = interval(seed_scores(runs, "cider_d"))
            line = {"clips of": corpus, "row": name, "trained on": source}
            line |= {"CIDEr-D": bounds.mean, "low": bounds.low, "high": bounds.high}
            line["shuffled"] = 100 * np.mean([run.corpus[SHUFFLED] for run in runs])
            line |= {"did not learn": did_not_learn(runs), "seeds": len(runs)}
            shares = [event_shares(each, scenes) for each in told_as if scenes]
            events = pd.DataFrame(shares, columns=[*EVENTS.values()]).mean()
            lines.append(line | events.to_dict())
    return pd.DataFrame(lines)


def _scenes(materials: Materials, clips: Sequence[Clip]) -> list[Scene]:
    """Return the clips' scenes; none of real recordings."""
    truth = getattr(materials.corpora, "truth", None)
    return [scene_of(truth(clip)) for clip in clips] if truth else []
