"""A sentence encoder from a Hugging Face text model: mean token state, unit norm."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

MAX_TOKENS = 128


class SentenceEncoder:
    """Embed texts with a model such as all-MiniLM-L6-v2 (folder or hub id)."""

    def __init__(self, source: str):
        self.model = AutoModel.from_pretrained(source, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        backend = getattr(self.tokenizer, "backend_tokenizer", None)
        if backend is not None:
            backend.no_padding()  # some tokenizer files fix a padded length
        self.dim = self.model.config.hidden_size

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 256) -> torch.Tensor:
        """Embed B texts -> (B, dim) float32, unit rows, batched by length."""
        if not texts:
            return torch.zeros(0, self.dim)
        ids = self.tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)
        ids = ids["input_ids"]
        by_length = np.argsort([len(row) for row in ids], kind="stable")
        embeddings = torch.zeros(len(ids), self.dim)
        for start in range(0, len(ids), batch_size):
            part = by_length[start : start + batch_size]
            embeddings[part] = self._encode([torch.tensor(ids[row]) for row in part])
        return embeddings

    def _encode(self, rows: list[torch.Tensor]) -> torch.Tensor:
        lengths = torch.tensor([len(row) for row in rows])
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        states = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        states = states * mask[..., None]
        return F.normalize(states.sum(1) / lengths[:, None], dim=-1)
