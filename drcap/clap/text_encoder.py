"""The text encoder of a CLAP model (sec. II-A): any of transformers', by name.

In: captions; out: one pooled state a caption, before the projection head. Captions are
cut at `max_tokens` and padded to the longest of their batch; padding is masked. Below
it the sentence encoder of the caption bridge, checked against sentence-transformers.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, AutoTokenizer

from drcap.assets import resolve_model
from drcap.config import TextEncoderConfig
from drcap.errors import AssetError


class TextEncoder(nn.Module):
    """Tokenise captions and pool their token states.

    model : the transformer; None: read by the name `config.model`
    tokenizer : its folder or name; None: `config.model`

    Raises AssetError for a model or tokenizer that cannot be loaded.
    """

    def __init__(
        self,
        config: TextEncoderConfig,
        model: nn.Module | None = None,
        tokenizer: str | None = None,
    ):
        super().__init__()
        self.config = config
        if model is None:
            model = _read(AutoModel, config.model, dtype=torch.float32)
        self.model = model.requires_grad_(config.trained)
        self.model.pooler = None  # trained for another task
        self.width = self.model.config.hidden_size
        self.tokenizer_source = tokenizer or config.model

    @classmethod
    def load(cls, config: TextEncoderConfig, folder: Path) -> "TextEncoder":
        """Build the encoder that `save` described; its weights are random."""
        architecture = _read(AutoConfig, str(folder))
        return cls(config, AutoModel.from_config(architecture), str(folder))

    def save(self, folder: Path) -> None:
        """Write the architecture and the tokenizer, no weights."""
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @cached_property
    def tokenizer(self):
        """The tokenizer, read when it is first needed."""
        return _read(AutoTokenizer, self.tokenizer_source)

    def train(self, mode: bool = True) -> "TextEncoder":
        """Switch dropout on or off; in a frozen encoder it stays off."""
        return super().train(mode and self.config.trained)

    def tokenize(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask` of B captions, (B, T) int64 each."""
        cut = {"truncation": True, "max_length": self.config.max_tokens}
        shape = {"padding": "longest", "return_tensors": "pt"}
        tokens = self.tokenizer(list(captions), **cut, **shape)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def forward(self, input_ids, attention_mask) -> torch.Tensor:
        """Return the pooled states of B captions: two (B, T) -> (B, H)."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask)
        states = states.last_hidden_state  # (B, T, H)
        if self.config.pooling == "first":
            return states[:, 0]
        weights = attention_mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


class SentenceEncoder:
    """Embed texts with a model such as all-MiniLM-L6-v2: mean token state, unit norm.

    source : asset, folder or hub id; AssetError if it cannot be loaded
    """

    def __init__(self, source: str):
        settings = {"pooling": "mean", "max_tokens": 128, "trained": False}
        self.model = TextEncoder(TextEncoderConfig(source, **settings)).eval()
        self.dim = self.model.width

    @torch.inference_mode()
    def encode(self, texts: Sequence[str], batch_size: int = 64) -> torch.Tensor:
        """Embed B texts -> (B, dim) float32, unit rows.

        Batches have texts of like length, so that they pad little, and fit the caches
        of a CPU.
        """
        embeddings = torch.zeros(len(texts), self.dim)
        if not texts:
            return embeddings
        tokens = self.model.tokenizer(list(texts))["input_ids"]
        by_length = np.argsort([len(row) for row in tokens], kind="stable")
        for start in range(0, len(texts), batch_size):
            rows = by_length[start : start + batch_size]
            tokens = self.model.tokenize([texts[row] for row in rows])
            embeddings[rows] = F.normalize(self.model(**tokens), dim=-1)
        return embeddings


def _read(kind: type, name: str, **options):
    try:
        return kind.from_pretrained(resolve_model(name), **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AssetError(
            f"text encoder '{name}': {kind.__name__} cannot be loaded ({reason}): give "
            "an asset, a folder that holds it, or a hub id while online"
        ) from None
