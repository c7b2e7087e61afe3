"""Scores of a grid that was never run: DRCap at one level, ablations at others."""

import numpy as np

from drcap.evaluation.metrics import SBERT_SIM, Scores
from drcap.experiments import results
from drcap.experiments.grid import row_experiment

CLIPS = 50
PAIRS = {"III": ("ac", "ac"), "IV": ("ac", "cl")}
METRICS = ("meteor", "cider_d", "spice", "spider", SBERT_SIM)
DIFFICULTY = np.random.default_rng(0).uniform(0.2, 0.4, CLIPS)


def scores_at(level, noise=0.02, seed=0, metrics=METRICS):
    """Scores of clips of one difficulty, `level` above it on every metric."""
    rng = np.random.default_rng(seed)
    per_clip = {
        name: (DIFFICULTY + level + rng.normal(0, noise, CLIPS)).tolist()
        for name in metrics
    }
    corpus = {name: float(np.mean(values)) for name, values in per_clip.items()}
    lacking = dict.fromkeys(set(results.METRICS) - set(metrics), "needs its files")
    return Scores(CLIPS, corpus | dict.fromkeys(lacking), per_clip, lacking)


def grid_of(levels, shift=0, **options):
    """Results of DRCap, at level 0.2, and of ablations on Tables III and IV."""
    return {
        row_experiment(row, *pair): scores_at(level, seed=shift + seed, **options)
        for pair in PAIRS.values()
        for seed, (row, level) in enumerate({"DRCap": 0.2, **levels}.items())
    }
