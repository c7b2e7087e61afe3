"""The text encoder of a CLAP model: any of transformers' by name, and its tokenizer.

In: captions; out: one pooled state a caption, before the projection. Captions are cut
at `max_tokens` and padded to the longest of their batch; padding is never attended to.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer

from drcap.assets import resolve_model
from drcap.config import TextEncoderConfig
from drcap.errors import AssetError


class TextEncoder(nn.Module):
    """Tokenise captions and pool their token states.

    model : the transformer, if it is not to be read from `config.model`
    tokenizer : its folder or name, if it is not to be read from there either
    """

    def __init__(
        self,
        config: TextEncoderConfig,
        model: nn.Module | None = None,
        tokenizer: str | None = None,
    ):
        super().__init__()
        self.config = config
        self.model = pretrained(config.model) if model is None else model
        self.model.pooler = None  # of another task
        self.model.requires_grad_(config.trained)
        self.width = self.model.config.hidden_size
        self.tokenizer_source = tokenizer or config.model
        self._tokenizer = None

    def train(self, mode: bool = True) -> "TextEncoder":
        """Switch dropout on or off; in a frozen encoder it stays off."""
        return super().train(mode and self.config.trained)

    @property
    def tokenizer(self):
        """The tokenizer, read when it is first needed; AssetError if it is missing."""
        if self._tokenizer is None:
            self._tokenizer = _read(AutoTokenizer, "tokenizer", self.tokenizer_source)
        return self._tokenizer

    def tokenize(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask` of B captions, (B, T) int64 each."""
        tokens = self.tokenizer(
            list(captions),
            **{"truncation": True, "max_length": self.config.max_tokens},
            **{"padding": "longest", "return_tensors": "pt"},
        )
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def forward(self, input_ids, attention_mask) -> torch.Tensor:
        """Return the pooled states of B captions: two (B, T) -> (B, H)."""
        states = self.model(input_ids=input_ids, attention_mask=attention_mask)
        states = states.last_hidden_state  # (B, T, H)
        if self.config.pooling == "first":
            return states[:, 0]
        weights = attention_mask[..., None].to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)

    def save(self, folder: Path) -> None:
        """Write all that `described` needs: architecture and tokenizer, no weights."""
        self.model.config.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def pretrained(name: str) -> nn.Module:
    """Return the text model of an asset, folder or hub id; AssetError if missing."""
    return _read(AutoModel, "text encoder", name, dtype=torch.float32)


def described(config: TextEncoderConfig, folder: Path) -> TextEncoder:
    """Return the encoder that `save` wrote, its weights still to be loaded."""
    architecture = _read(AutoConfig, "text encoder's config", str(folder))
    return TextEncoder(config, AutoModel.from_config(architecture), str(folder))


def _read(kind: type, what: str, name: str, **options):
    try:
        return kind.from_pretrained(resolve_model(name), **options)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AssetError(
            f"{what} '{name}' cannot be loaded ({reason}): give an asset, a folder "
            "that holds it, or a hub id while online"
        ) from None
