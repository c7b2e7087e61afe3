"""From which corpus the captions of a prompt are (sec. III-A: weak, AC or CL)."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from drcap.experiments.materials import Materials
from drcap.retrieval import Match


def origins(materials: Materials) -> dict[str, set[str]]:
    """Return each corpus's own captions of the datastore, by the corpus's name."""
    targets = {
        name: set(materials.training_captions(domain))
        for domain, name in materials.names.items()
    }
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
