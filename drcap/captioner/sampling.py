"""Captions drawn at random, each from noise of its own (Gumbel-max).

The arg max of log-probabilities plus Gumbel noise is a draw from them. The noise of a
row depends on the seed, the prompt and the number of the draw alone, so that a caption
does not change with its neighbours in the batch. Prompts of the same words share it.
Checked against the probabilities of temperature and top-p.
"""

import zlib
from collections.abc import Iterable, Sequence

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from drcap.captioner.prompt import Prompt
from drcap.config import GenerationConfig


class GumbelNoise(LogitsProcessor):
    """Adds noise to the logits, (rows, vocabulary), by one generator a row."""

    def __init__(self, seeds: Iterable[int]):
        # on the CPU, whose numbers are the same on every machine
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the noisy logits; what had no probability still has none."""
        noise = torch.empty(scores.shape)
        for row, generator in zip(noise, self.generators, strict=True):
            row.exponential_(generator=generator)
        return scores - noise.log().to(scores.device)


def drawing(
    prompts: Sequence[Prompt], draws: int, config: GenerationConfig
) -> LogitsProcessorList:
    """Return what turns greedy search into draws from each of B prompts, in a row."""
    seeds = [
        zlib.crc32(repr((config.seed, draw, list(prompt.ids))).encode())
        for prompt in prompts
        for draw in range(draws)
    ]
    processors = LogitsProcessorList([TemperatureLogitsWarper(config.temperature)])
    if config.top_p < 1:
        processors.append(TopPLogitsWarper(config.top_p))
    processors.append(GumbelNoise(seeds))
    return processors
