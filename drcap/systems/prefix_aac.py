"""Prefix AAC: two mapping networks before a frozen language model (Kim et al., 2023).

The frames of a recording become temporal prefix tokens, the posteriors of its sound
events global ones; the language model reads both and writes the caption by a head of
its own. Supervised: trained on the recordings of the source corpus.

As in its paper: two transformers whose outputs at learned tokens are the prefix (15
temporal; 11 global from 527 classes in groups of 48), a frozen language model, a
trained head over the words of the training captions. Not as there: frames are those of
the grid's CLAP audio encoder, which stays frozen (PANNs, fine-tuned), posteriors a
softmax of CLAP similarities to the classes' names; both are standardised by the
training recordings in the place of batch normalisation; a linear layer beside the
networks starts from captions' words, as DRCap's mapper does; the head knows the words
of the validation captions, too; training is the grid's.
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from drcap.captioner.mapper import random_layer
from drcap.captioner.model import Captioner
from drcap.config import ExperimentsConfig
from drcap.data.clip import Clip
from drcap.joint_space import JointSpace
from drcap.systems.language_model import (
    FROZEN,
    NO_RETRIEVAL,
    PrefixPrompts,
    SupervisedSystem,
)
from drcap.systems.zeraucap import SoundEvents

HEAD = "head.safetensors"
SHARE = 0.1  # of a token, what an untrained network adds to the word-like start


def transformer(width: int, inner: int, config) -> nn.TransformerEncoder:
    """Return a pre-norm encoder with feed-forward layers of width `inner`."""
    layer = nn.TransformerEncoderLayer(
        width, config.heads, inner, config.dropout, batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(
        layer, config.layers, nn.LayerNorm(width), enable_nested_tensor=False
    )


def positions(length: int, width: int) -> torch.Tensor:
    """Return sinusoids of positions, (length, width)."""
    place = torch.arange(length)[:, None]
    rate = 10_000 ** (-torch.arange(0, width, 2) / width)
    table = torch.zeros(length, width)
    table[:, 0::2] = torch.sin(place * rate)
    table[:, 1::2] = torch.cos(place * rate)[:, : width // 2]
    return table


class MappingNetwork(nn.Module):
    """A transformer's output at learned tokens: (B, T, C) -> (B, P, H).

    size : of the output, the standard deviation of a typical token's numbers
    """

    def __init__(self, channels: int, width: int, prefix: int, config, size: float):
        super().__init__()
        self.size = size
        self.input = nn.Linear(channels, width)
        self.prefix = nn.Parameter(0.02 * torch.randn(prefix, width))
        self.layers = transformer(width, 2 * width, config)

    def forward(self, sequence: torch.Tensor) -> torch.Tensor:
        tokens = self.input(sequence)
        tokens = tokens + positions(tokens.shape[1], tokens.shape[2]).to(tokens)
        learned = self.prefix.expand(len(tokens), -1, -1)
        states = self.layers(torch.cat([tokens, learned], dim=1))
        return self.size * states[:, -len(self.prefix) :]


class TwoPrefixes(nn.Module):
    """Temporal and global prefix: (B, T * C + classes) -> (B, P, H).

    A linear layer from the mean frame and the posteriors adds to each token (ours): it
    starts from captions' words, and the networks from a tenth of its size.
    shape : (T, C) of the frames      size : a typical token's standard deviation
    """

    def __init__(self, shape, classes: int, width: int, config, size: float):
        super().__init__()
        self.shape, self.group = tuple(shape), config.label_group
        count = -(-classes // config.label_group)
        shared = config, SHARE * size
        self.temporal = MappingNetwork(shape[1], width, config.temporal, *shared)
        self.overall = MappingNetwork(config.label_group, width, count, *shared)
        inputs = shape[1] + count * config.label_group
        self.words = random_layer(inputs, width, size / inputs**0.5)
        numbers = shape[0] * shape[1] + classes
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("deviation", torch.ones(numbers))

    def standardise(self, rows: torch.Tensor) -> None:
        """Take mean and deviation of each input from the training recordings' rows."""
        self.mean.copy_(rows.mean(dim=0))
        self.deviation.copy_(rows.std(dim=0).clamp(min=1e-6))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        frames, groups = self.parts(rows)
        both = torch.cat([self.temporal(frames), self.overall(groups)], dim=1)
        return both + self.words(self.summary(rows))[:, None]

    def summary(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the mean frame and the posteriors of B rows, standardised."""
        frames, groups = self.parts(rows)
        return torch.cat([frames.mean(dim=1), groups.flatten(1)], dim=1)

    def parts(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return standardised frames (B, T, C) and groups of posteriors (B, G, n)."""
        rows = (rows - self.mean) / self.deviation
        frames, posteriors = rows.tensor_split([self.shape[0] * self.shape[1]], dim=1)
        frames = frames.reshape(len(rows), *self.shape)
        missing = -posteriors.shape[1] % self.group
        return frames, F.pad(posteriors, (0, missing)).view(len(rows), -1, self.group)


class WordHead(nn.Module):
    """Logits of the training captions' tokens alone: (..., H) -> (..., vocabulary).

    tokens : (V,) int64, rising      table : the language model's own, (vocabulary, H)
    """

    def __init__(self, tokens: torch.Tensor, table: torch.Tensor):
        super().__init__()
        self.register_buffer("tokens", tokens)
        self.weight = nn.Parameter(table[tokens].detach().float().clone())
        self.vocabulary = len(table)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        known = states.float() @ self.weight.T
        logits = known.new_full((*known.shape[:-1], self.vocabulary), -torch.inf)
        logits[..., self.tokens] = known
        return logits


class PrefixAACCaptioner(Captioner):
    """A frozen language model behind two prefixes, with a trained head."""

    def make_prompts(self) -> PrefixPrompts:
        own, classes, _ = self.settings
        length = own.temporal - (-classes // own.label_group)
        return PrefixPrompts(self.tokenizer, self.config, length)

    def make_mapper(self, embedding_dim: int) -> TwoPrefixes:
        own, classes, shape = self.settings
        table = self.llm.get_input_embeddings().weight
        size = table.float().std().item()
        return TwoPrefixes(shape, classes, table.shape[1], own, size)

    def starts(self, inputs):
        return [(self.mapper.words, self.mapper.summary(inputs))]

    def limit_words(self, tokens: torch.Tensor) -> None:
        """Put the trained head in the place of the language model's own."""
        table = self.llm.get_input_embeddings().weight
        head = WordHead(tokens.to(table.device), table)
        self.llm.set_output_embeddings(head.to(table.device))

    def save(self, folder: Path) -> None:
        super().save(folder)
        head = self.llm.get_output_embeddings()
        words = {"tokens": head.tokens, "weight": head.weight.detach()}
        save_file(words, folder / HEAD)

    @classmethod
    def load(cls, folder, embedding_dim, config, dtype, settings=None):
        captioner = super().load(folder, embedding_dim, config, dtype, settings)
        words = load_file(folder / HEAD)
        captioner.limit_words(words["tokens"])
        captioner.llm.get_output_embeddings().weight.data.copy_(words["weight"])
        return captioner.requires_grad_(False).eval()


class PrefixAAC(SupervisedSystem):
    """The system of the paper's rows."""

    settings_of = "prefix_aac"
    captioner_class = PrefixAACCaptioner
    changes = NO_RETRIEVAL | FROZEN

    def __init__(self, space: JointSpace):
        super().__init__(space)
        self.events = SoundEvents(space)

    def settings(self, config: ExperimentsConfig) -> object:
        classes = len(self.events.names)
        return config.baselines.prefix_aac, classes, self.space.frame_shape

    def examples(self, training_set, captioner, config):
        captioner.mapper.standardise(self.rows(training_set.clips))
        training, held_out = super().examples(training_set, captioner, config)
        targets = [*training.targets, *held_out.targets]
        tokens = sorted({token for target in targets for token in target})
        captioner.limit_words(torch.tensor(tokens))
        return training, held_out

    def rows(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return frames and posteriors of B clips, (B, T * C + classes)."""
        frames = self.space.frames(clips).flatten(1)
        posteriors = self.events.posteriors(self.space.audio(clips))
        return torch.cat([frames, posteriors], dim=1)
