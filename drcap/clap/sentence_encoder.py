"""The sentence encoder of the caption bridge: mean token state, unit norm.

Texts go through the model in batches of like length, so that a batch pads little.
Checked against sentence-transformers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from drcap.clap.text_encoder import TextEncoder
from drcap.config import TextEncoderConfig

MAX_TOKENS = 128


class SentenceEncoder:
    """Embed texts with a model such as all-MiniLM-L6-v2.

    source : asset, folder or hub id; AssetError if it cannot be loaded
    """

    def __init__(self, source: str):
        settings = {"pooling": "mean", "max_tokens": MAX_TOKENS, "trained": False}
        self.model = TextEncoder(TextEncoderConfig(source, **settings)).eval()
        self.dim = self.model.width

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Embed B texts -> (B, dim) float32, unit rows."""
        embeddings = torch.zeros(len(texts), self.dim)
        if not texts:
            return embeddings
        cut = {"truncation": True, "max_length": MAX_TOKENS}
        tokens = self.model.tokenizer(list(texts), **cut)["input_ids"]
        by_length = np.argsort([len(row) for row in tokens], kind="stable")
        for start in range(0, len(texts), batch_size):
            rows = by_length[start : start + batch_size]
            tokens = self.model.tokenize([texts[row] for row in rows])
            embeddings[rows] = F.normalize(self.model(**tokens), dim=-1)
        return embeddings
