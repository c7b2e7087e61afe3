"""The contrastive loss of CLAP: each clip finds its captions, each caption its clip.

In go the unit rows of a batch of pairs, out comes a scalar. As in the authors' code,
pairs of one clip are all right answers to one another, and an optional term regularises
the embeddings. Checked against a computation in plain NumPy.
"""

import torch
from torch.nn import functional as F


def contrastive_loss(
    audio: torch.Tensor,
    text: torch.Tensor,
    temperature: torch.Tensor | float,
    clip_ids: torch.Tensor,
) -> torch.Tensor:
    """Return the mean cross-entropy of both directions, with shared positives.

    audio, text : (B, D) float32, unit rows; row i of both is one pair
    temperature : > 0, divides the cosines
    clip_ids : (B,) ints; the right answers of a row are all rows of its clip, each with
        the same share of the target
    """
    similarities = audio @ text.T / temperature  # (B, B)
    same = (clip_ids[:, None] == clip_ids[None, :]).to(similarities)
    targets = same / same.sum(dim=1, keepdim=True)  # symmetric
    audio_to_text = F.cross_entropy(similarities, targets)
    text_to_audio = F.cross_entropy(similarities.T, targets)
    return (audio_to_text + text_to_audio) / 2


def embedding_regularisation(embeddings: torch.Tensor) -> torch.Tensor:
    """Return the mean magnitude of the components over the norm of all of them.

    embeddings : (B, D). Least where few components carry the embedding; the scale does
    not matter.
    """
    return embeddings.abs().mean() / embeddings.square().sum().sqrt()
