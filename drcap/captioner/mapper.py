"""The mapper m of sec. II-A: a CLAP embedding becomes one soft token of the LLM.

The paper calls it a linear mapping network, one layer. The authors' code has two, with
a ReLU between them, and so do the weights that they released.
"""

import math

import torch
from torch import nn

from drcap.config import CaptionerConfig


def untrained_mapper(
    config: CaptionerConfig, embedding_dim: int, tokens: torch.Tensor
) -> nn.Module:
    """Return m with random weights, (B, D) -> (B, H).

    embedding_dim : D      tokens : (V, H), the LLM's token embeddings

    A unit embedding is mapped to a vector of a typical token's size.
    """
    width = tokens.shape[1]
    if config.mapper == "linear":
        return _scaled(nn.Linear(embedding_dim, width), _size(tokens))
    first = _scaled(nn.Linear(embedding_dim, config.mapper_width), 1.0)
    # a unit embedding makes the first layer's outputs standard normal; the ReLU keeps
    # half of their squares
    gain = math.sqrt(2 / config.mapper_width)
    second = _scaled(nn.Linear(config.mapper_width, width), gain * _size(tokens))
    return nn.Sequential(first, nn.ReLU(), second)


def _size(tokens: torch.Tensor) -> float:
    return tokens.float().std().item()


def _scaled(layer: nn.Linear, std: float) -> nn.Linear:
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer
