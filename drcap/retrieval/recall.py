"""How much of the exact answer an approximate search finds (recall at k)."""

from collections.abc import Sequence

import numpy as np
import torch

from drcap.retrieval.datastore import CaptionDatastore

SAMPLE = 256  # captions that ask for their neighbours where no queries are given


def recall(
    datastore: CaptionDatastore,
    queries: torch.Tensor | np.ndarray,
    top_k: int = 3,
    *,
    own_captions: Sequence[str | None] | None = None,
) -> float:
    """Return the share of the exact `top_k` that the datastore's own search finds.

    queries : (B, D), unit rows       own_captions : B captions, each withheld from its
    returns : in [0, 1]; 1 of an exact search       own query (None: nothing)

    A caption as similar as the last of the exact ones is as good as it.
    """
    options = {"top_k": top_k, "own_captions": own_captions}
    hits = wanted = 0
    for best, found in zip(
        datastore.search(queries, exact=True, **options),
        datastore.search(queries, **options),
        strict=True,
    ):
        floor = best[-1].similarity if best else 0.0
        hits += sum(match.similarity >= floor for match in found)
        wanted += len(best)
    return hits / wanted if wanted else 1.0


def sampled_recall(datastore: CaptionDatastore, top_k: int = 3, seed: int = 0) -> float:
    """Return the recall of captions drawn at random that ask for their neighbours.

    Audio lies elsewhere in the space, so pass its embeddings to `recall` to know of it.
    """
    count = min(SAMPLE, len(datastore))
    rows = np.random.default_rng(seed).choice(len(datastore), count, replace=False)
    own = [datastore.captions[row] for row in rows]
    return recall(datastore, datastore.rows(rows), top_k, own_captions=own)
