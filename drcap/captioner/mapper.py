"""The mapper m of sec. II-A: a CLAP embedding becomes one soft token of the LLM.

The paper calls m a linear mapping network: one layer. The authors' code and released
weights have two layers with a ReLU between them.

`fit_mapper` is ours: from random weights, the language model needs thousands of steps
before it can read the soft token. The fit maps text embeddings to the mean embedding of
their captions' words, in closed form. Checked against gradient descent.
"""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn

from drcap.config import CaptionerConfig

RIDGE = 0.3  # pull towards the random weights, in units of squared unit rows


def untrained_mapper(
    config: CaptionerConfig, embedding_dim: int, tokens: torch.Tensor
) -> nn.Module:
    """Return m with random weights, (B, D) -> (B, H).

    embedding_dim : D      tokens : (V, H), the LLM's token embeddings

    The weights map a unit embedding to a vector of a typical token's size.
    """
    width, size = tokens.shape[1], tokens.float().std().item()
    if config.mapper == "linear":
        return _random_layer(embedding_dim, width, size)
    # a unit embedding makes the first layer's outputs standard normal; the ReLU keeps
    # half of their squares
    gain = math.sqrt(2 / config.mapper_width)
    return nn.Sequential(
        _random_layer(embedding_dim, config.mapper_width, 1.0),
        nn.ReLU(),
        _random_layer(config.mapper_width, width, gain * size),
    )


def _random_layer(inputs: int, outputs: int, std: float) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def fit_mapper(captioner, embeddings: torch.Tensor, captions: Sequence[str]) -> None:
    """Fit a Captioner's linear mapper to N training captions.

    embeddings : X (N, D), the captions' text embeddings

    Minimises |X W - Y|^2 + RIDGE |W - W_0|^2 over centred rows, where Y (N, H) is
    `mean_words` and W_0 the weights so far.
    """
    mapper = captioner.mapper
    words = mean_words(captioner, captions)  # (N, H)
    inputs = embeddings.float().cpu()
    start = mapper.weight.float().cpu().T  # (D, H)
    centre, target = inputs.mean(0), words.mean(0)
    centred = inputs - centre
    residual = words - target - centred @ start
    ridge = RIDGE * torch.eye(inputs.shape[1])
    change = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ residual)
    weights = start + change
    mapper.weight.copy_(weights.T)
    mapper.bias.copy_(target - centre @ weights)


def mean_words(captioner, captions: Sequence[str]) -> torch.Tensor:
    """Return each caption's mean token embedding, (N, H), at a typical token's norm.

    A token is weighted by the log of N over the captions that hold it.
    """
    table = captioner.llm.get_input_embeddings().weight.detach().float().cpu()
    tokens = [captioner.prompts.target(caption)[:-1] for caption in captions]
    counts = Counter(token for row in tokens for token in set(row))
    rarity = {token: math.log(len(tokens) / count) for token, count in counts.items()}
    rows = []
    for row in tokens:
        weights = torch.tensor([rarity[token] for token in row])
        weights = weights + 1e-6  # a caption may hold only words that all captions have
        rows.append(weights @ table[row] / weights.sum())
    means = torch.stack(rows)
    return means * (table.norm(dim=1).mean() / means.norm(dim=1).mean())
