"""The mapper m of sec. II-A: a CLAP embedding becomes one soft token of the LLM.

The paper calls m a linear mapping network: one layer. The authors' code and released
weights have two layers with a ReLU between them.

`fit_mapper` is ours: it maps embeddings to the mean embedding of their captions' words,
in closed form, so that a short run need not begin with a soft token that says nothing.
Every system with soft tokens starts by it, so that none has an advantage. Checked
against gradient descent.
"""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn

from drcap.config import CaptionerConfig

RIDGE = 0.3  # pull towards the random weights, in units of squared rows


def untrained_mapper(
    config: CaptionerConfig, embedding_dim: int, tokens: torch.Tensor
) -> nn.Module:
    """Return m with random weights, (B, D) -> (B, H).

    embedding_dim : D      tokens : (V, H), the LLM's token embeddings

    The weights map a unit embedding to a vector of a typical token's size.
    """
    width, size = tokens.shape[1], tokens.float().std().item()
    if config.mapper == "linear":
        return random_layer(embedding_dim, width, size)
    # a unit embedding makes the first layer's outputs standard normal; the ReLU keeps
    # half of their squares
    gain = math.sqrt(2 / config.mapper_width)
    return nn.Sequential(
        random_layer(embedding_dim, config.mapper_width, 1.0),
        nn.ReLU(),
        random_layer(config.mapper_width, width, gain * size),
    )


def random_layer(inputs: int, outputs: int, std: float) -> nn.Linear:
    """Return a layer that maps a unit row to numbers of this standard deviation."""
    layer = nn.Linear(inputs, outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.zeros_(layer.bias)
    return layer


@torch.no_grad()
def fit_mapper(captioner, inputs: torch.Tensor, captions: Sequence[str]) -> None:
    """Fit the layers that a Captioner starts from captions' words, `Captioner.starts`.

    inputs : what the mapper reads of N training captions, (N, ...)
    """
    words = mean_words(captioner, captions)  # (N, H)
    for layer, features in captioner.eval().starts(inputs.to(captioner.device)):
        fit_layer(layer, features.float().cpu(), words)


def fit_layer(layer: nn.Linear, inputs: torch.Tensor, words: torch.Tensor) -> None:
    """Fit a linear layer to word embeddings, once for each token that it makes.

    inputs : X (N, F)      words : (N, H), where the layer is F -> P * H

    Minimises |X W - Y|^2 + s RIDGE |W - W_0|^2 over centred rows, where Y is `words` P
    times, W_0 the weights so far and s the mean squared norm of a row of X.
    """
    start = layer.weight.float().cpu().T  # (F, P * H)
    targets = words.repeat(1, start.shape[1] // words.shape[1])
    centre, target = inputs.mean(0), targets.mean(0)
    centred = inputs - centre
    residual = targets - target - centred @ start
    size = inputs.square().sum(1).mean()
    ridge = RIDGE * size * torch.eye(inputs.shape[1])
    change = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ residual)
    weights = start + change
    layer.weight.copy_(weights.T)
    layer.bias.copy_(target - centre @ weights)


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
