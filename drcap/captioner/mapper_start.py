"""Where the mapper starts from: the random weights of the paper, or a fit to them.

A mapper with random weights needs thousands of steps before the language model can read
its token. The fit gives it, in closed form, what gradient descent from those weights
would reach: text embeddings are mapped to the mean embedding of their captions' words,
and in directions that no text embedding takes, the weights stay as they were. Checked
against gradient descent.
"""

import math
from collections import Counter
from collections.abc import Sequence

import torch

from drcap.captioner.model import Captioner

RIDGE = 0.3  # pull towards the random weights, in units of squared unit rows


@torch.no_grad()
def fit_mapper(
    captioner: Captioner, embeddings: torch.Tensor, captions: Sequence[str]
) -> None:
    """Fit the mapper to N training captions and their text embeddings (N, D).

    Minimises |X W - Y|^2 + RIDGE |W - W_0|^2 over centred rows, in float32 on the CPU.
    Y : (N, H), see `mean_words`      W_0 : the mapper's weights as they are
    """
    mapper = captioner.mapper
    words = mean_words(captioner, captions)  # (N, H)
    inputs = embeddings.float().cpu()
    start = mapper.weight.float().cpu().T  # (D, H)
    centre, target = inputs.mean(0), words.mean(0)
    centred = inputs - centre
    lacking = words - target - centred @ start
    ridge = RIDGE * torch.eye(inputs.shape[1])
    change = torch.linalg.solve(centred.T @ centred + ridge, centred.T @ lacking)
    weights = start + change
    mapper.weight.copy_(weights.T)
    mapper.bias.copy_(target - centre @ weights)


def mean_words(captioner: Captioner, captions: Sequence[str]) -> torch.Tensor:
    """Return each caption's mean token embedding, (N, H), at a typical token's norm.

    Rare tokens count more: each is weighted by the log of N over the captions with it.
    """
    table = captioner.llm.get_input_embeddings().weight.detach().float().cpu()
    tokens = [captioner.prompts.target(caption)[:-1] for caption in captions]
    holding = Counter(token for row in tokens for token in set(row))
    rarity = {token: math.log(len(tokens) / count) for token, count in holding.items()}
    rows = []
    for row in tokens:
        weights = torch.tensor([rarity[token] for token in row])
        weights = weights + 1e-6  # a caption of words that all captions have
        rows.append(weights @ table[row] / weights.sum())
    means = torch.stack(rows)
    return means * (table.norm(dim=1).mean() / means.norm(dim=1).mean())
