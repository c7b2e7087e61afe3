"""An outside check of the generators: does a tagger of real sounds know them?

YAMNet, trained on AudioSet, tags sounds of each generator alone. A class counts as
recognised if AudioSet's own name for it, that of its parent there or of a kind of it,
is among the likeliest five. What the tagger confuses a sound with is no hit.
"""

import numpy as np
import pandas as pd
import soxr

from drcap import assets
from drcap.clap.yamnet import CLASSES, YAMNet, pooled
from drcap.clap.yamnet import SR as TAGGER_SR
from soundscapes.dsp import SR
from soundscapes.events import GENERATORS

TOP = 5
LEVEL = 0.3  # peak amplitude of a sound that is tagged
ACCEPTED = CLASSES["accepted"]  # class -> names of AudioSet that recognise it


def tagger_check(
    seeds: int = 5, seconds: float = 8.0, tagger: YAMNet | None = None
) -> pd.DataFrame:
    """Let the tagger name `seeds` sounds of every class -> one row a class.

    Columns: class, hits (share of the sounds recognised), recognised (most were), and
    top5 (the tagger's names of the first). The best recognised come first.
    """
    tagger = tagger or YAMNet(assets.asset_path("yamnet"))
    rows = []
    for name, generate in GENERATORS.items():
        names = []
        for seed in range(seeds):
            wave = LEVEL * generate(np.random.default_rng(seed), seconds)
            tags = pooled(tagger.tag(soxr.resample(wave, SR, TAGGER_SR)))
            likeliest = np.argsort(-tags, kind="stable")[:TOP]
            names.append([tagger.class_names[place] for place in likeliest])
        hits = float(np.mean([bool({*ACCEPTED[name]} & {*top}) for top in names]))
        rows.append((name.replace("_", " "), hits, hits > 0.5, "; ".join(names[0])))
    table = pd.DataFrame(rows, columns=["class", "hits", "recognised", "top5"])
    return table.sort_values("hits", ascending=False, kind="stable", ignore_index=True)
