"""Many captions through a text encoder: batches of like length, with a progress bar."""

from collections.abc import Sequence

import numpy as np

from drcap.clap.encoder import CLAP


def encode_captions(
    captions: Sequence[str],
    clap: CLAP,
    *,
    batch_size: int = 512,
    progress: bool = True,
) -> np.ndarray:
    """Encode N captions -> (N, D) float32, unit rows, in the order given."""
    from tqdm import tqdm

    embeddings = np.empty((len(captions), clap.dim), dtype=np.float32)
    # Alike lengths together save padding; the longest first, so that the estimate of
    # the time left errs on the safe side.
    order = sorted(range(len(captions)), key=lambda row: -len(captions[row]))
    bar = tqdm(
        total=len(captions),
        desc="encoding captions",
        unit="caption",
        delay=2,
        disable=not progress,
    )
    with bar:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            embeddings[rows] = clap.encode_text([captions[row] for row in rows]).numpy()
            bar.update(len(rows))
    return embeddings
