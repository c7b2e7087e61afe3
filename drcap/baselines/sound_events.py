"""AudioSet's sound events in a CLAP space: which of them an embedding is near to.

What ZerAuCap calls keywords and Zhang et al. an acoustic-aware hard prompt; for Prefix
AAC, in the place of a tagger's posteriors.
"""

from collections.abc import Sequence
from functools import cached_property

import torch

from drcap.assets import asset_path
from drcap.clap.yamnet import YAMNet
from drcap.spaces import Space


class SoundEvents:
    """The class names of AudioSet that YAMNet knows, embedded as captions are.

    space : whose text encoder embeds them
    names : others, in their place
    """

    def __init__(self, space: Space, names: Sequence[str] = ()):
        self.space = space
        self.others = list(names)

    @cached_property
    def names(self) -> list[str]:
        """C names, as AudioSet writes them."""
        return self.others or list(YAMNet(asset_path("yamnet")).class_names)

    @cached_property
    def embeddings(self) -> torch.Tensor:
        """Text embeddings of the names, (C, D), unit rows."""
        return self.space.clap.encode_text([name.lower() for name in self.names])

    def nearest(self, embeddings: torch.Tensor, count: int) -> list[list[str]]:
        """Return the `count` names nearest to each of B embeddings (B, D)."""
        found = (embeddings @ self.embeddings.T).topk(count, dim=1).indices
        return [[self.names[column] for column in row] for row in found.tolist()]

    def posteriors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return a softmax over similarities at the CLAP temperature, (B, C)."""
        similarities = embeddings @ self.embeddings.T
        return (similarities / self.space.clap.temperature).softmax(dim=1)
