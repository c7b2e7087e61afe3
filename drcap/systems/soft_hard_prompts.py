"""Soft and hard prompts: zero-shot captioning by text alone (Zhang et al., 2024).

A language model reads a hard prompt, the sound events that are near to the embedding,
then a soft prompt, P tokens of a small network, and writes the caption. In training the
embedding is that of one of the caption's nearest neighbours, moved by noise, and sound
events are dropped at random; at inference it is the audio embedding as it is, as in the
authors' public code, or by `replace_audio` the nearest training caption's.

As in its paper: ten soft tokens by a network with one hidden layer and tanh, five
neighbours (the caption itself among them), three sound events by CLAP similarity with
the embedding before the noise, dropped with probability 0.4. Not as there: the CLAP
model, the language model with its adapter, the network's start and the beam search are
the grid's; the state that is kept is the one of the lowest validation loss on captions,
where the authors choose by CIDEr on recordings, more than text-only training may see.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import compress

import numpy as np
import torch
from torch import nn

from drcap.captioner.data import Examples, split, with_noise
from drcap.captioner.model import Captioner
from drcap.config import SoftHardPromptsConfig
from drcap.joint_space import JointSpace
from drcap.retrieval import CaptionDatastore
from drcap.systems.base import ClipBatch, Similar
from drcap.systems.language_model import (
    NO_RETRIEVAL,
    LanguageModelSystem,
    PrefixPrompts,
)
from drcap.systems.zeraucap import SoundEvents

NOTHING = "something"  # in a prompt that names no event


def hard_prompt(events: Sequence[str]) -> str:
    """Return the sentence that names sound events."""
    named = ", ".join(event.lower() for event in events)
    return f"There are {named or NOTHING} in this audio."


class SoftHardCaptioner(Captioner):
    """A language model behind a hard prompt and P soft tokens."""

    def make_prompts(self) -> PrefixPrompts:
        length = self.settings.prefix
        return PrefixPrompts(self.tokenizer, self.config, length, hard_prompt)

    def make_mapper(self, embedding_dim: int) -> nn.Module:
        # the network of the soft prompt, (B, D) -> (B, P * H)
        width = self.llm.get_input_embeddings().embedding_dim * self.settings.prefix
        first = nn.Linear(embedding_dim, width // 2)
        return nn.Sequential(first, nn.Tanh(), nn.Linear(width // 2, width))

    def starts(self, inputs):
        return [(self.mapper[2], self.mapper[:2](inputs))]


class NeighbourExamples(Examples):
    """Captions whose embedding is a neighbour's, with the sound events near to it."""

    def __init__(
        self,
        captions: Sequence[str],
        embedded: CaptionDatastore,
        prompts: PrefixPrompts,
        events: SoundEvents,
        settings: SoftHardPromptsConfig,
    ):
        super().__init__(captions, prompts)
        self.embeddings = torch.from_numpy(embedded.embeddings_of(self.captions))
        self.events, self.settings = events, settings
        self.neighbours = _neighbours(self.embeddings, settings.neighbours)

    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        if seed is None:
            return self.embeddings[list(indices)]
        replaced = self._replaced(indices, seed)
        return with_noise(replaced, self.settings.noise_variance, seed, indices)

    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        near = self.events.nearest(self._replaced(indices, seed), self.settings.classes)
        kept = []
        for index, names in zip(indices, near, strict=True):
            draws = _draw(seed, int(index), 1).random(len(names))
            stay = draws >= self.settings.mask_probability
            kept.append(list(compress(names, stay)))
        return kept

    def _replaced(self, indices: Sequence[int], seed: int) -> torch.Tensor:
        """Return neighbours' embeddings, drawn by the seed and the example: (B, D)."""
        rows = torch.as_tensor(np.asarray(indices, dtype=np.int64))
        count = self.neighbours.shape[1]
        drawn = [_draw(seed, row, 0).integers(count) for row in rows.tolist()]
        return self.embeddings[self.neighbours[rows, drawn]]


class SoftHardPrompts(LanguageModelSystem):
    """The system of the rows "Zhang et al."."""

    settings_of = "soft_hard_prompts"
    captioner_class = SoftHardCaptioner
    changes = NO_RETRIEVAL

    def __init__(self, space: JointSpace):
        super().__init__(space)
        self.events = SoundEvents(space)

    def examples(self, training_set, captioner, config):
        captions, datastore = training_set.captions, self.space.datastore
        parts = split(captions, datastore, config, self.validation(training_set))
        training, held_out, embedded = parts
        shared, own = (captioner.prompts, self.events), captioner.settings
        plain = replace(own, neighbours=1, mask_probability=0.0)  # for validation
        return (
            NeighbourExamples(training, datastore, *shared, own),
            NeighbourExamples(held_out, embedded, *shared, plain),
        )

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        audio = self.space.audio(batch.clips)
        if not self.captioner.settings.replace_audio:
            return audio
        memory = torch.from_numpy(self.space.text(self.memory))
        return memory[(audio @ memory.T).argmax(dim=1)]

    def texts(self, batch: ClipBatch, similar: Similar) -> list[list[str]]:
        count = self.captioner.settings.classes
        return self.events.nearest(self.space.audio(batch.clips), count)


def _neighbours(embeddings: torch.Tensor, count: int) -> torch.Tensor:
    blocks = (block @ embeddings.T for block in embeddings.split(2_048))
    count = min(count, len(embeddings))
    return torch.cat([block.topk(count, dim=1).indices for block in blocks])


def _draw(*numbers: int) -> np.random.Generator:
    return np.random.default_rng(numbers)
