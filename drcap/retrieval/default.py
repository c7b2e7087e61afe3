"""AudioCaps' training captions: datastore and support where no others are given."""

import numpy as np

from drcap import assets
from drcap.clap import CLAP
from drcap.data.clip import read_captions
from drcap.retrieval.datastore import CaptionDatastore, distinct


def default_captions(count: int | None = None, seed: int = 0) -> list[str]:
    """Return AudioCaps' training captions in their order, repeats included.

    count : draw only so many distinct ones, at random by `seed`

    AssetError if they have not been fetched.
    """
    captions = read_captions(assets.asset_path("audiocaps-captions") / "train_v2.csv")
    if count is None:
        return captions
    texts = distinct(captions)
    count = min(count, len(texts))
    rows = np.random.default_rng(seed).choice(len(texts), count, replace=False)
    return [texts[row] for row in sorted(rows)]


def default_datastore(
    clap: CLAP, count: int | None = None, seed: int = 0
) -> CaptionDatastore:
    """Return the datastore of `default_captions`, from the cache if it was built.

    AssetError if they have not been fetched; DatastoreError if the copy is damaged.
    """
    return CaptionDatastore.kept(default_captions(count, seed), clap)
