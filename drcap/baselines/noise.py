"""Noise in the place of a bridge: a captioner that no longer minds a distance.

Text embeddings are moved at random in training, so that at inference an audio embedding
beside its caption's is one of many that the captioner knows. `NoisyDRCap` is DRCap with
this in the place of projection-based decoding.
"""

from collections.abc import Sequence

import torch

from drcap.baselines.interface import ClipBatch, TrainSet
from drcap.baselines.language_model import LanguageModelBaseline
from drcap.captioner.data import Examples, TextOnlyExamples, hold_out
from drcap.captioner.mapper_start import fit_mapper
from drcap.captioner.model import Captioner
from drcap.config import Config, ExperimentsConfig, NoiseConfig
from drcap.modality_gap import inject_noise
from drcap.spaces import Space


def with_noise(
    embeddings: torch.Tensor, variance: float, seed: int, indices: Sequence[int]
) -> torch.Tensor:
    """Return unit rows of E + n, n ~ N(0, variance) in each dimension: (B, D).

    The draw follows from the seed and the examples that the rows are of.
    """
    drawn_by = [seed, *map(int, indices)]
    moved = inject_noise(embeddings.numpy(), variance**0.5, drawn_by)
    return torch.from_numpy(moved)


class NoisyExamples(TextOnlyExamples):
    """Text-only examples whose embeddings are moved in training, not in validation."""

    variance = 0.0

    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        """Return the text embeddings, moved if there is a seed."""
        plain = super().inputs(indices)
        if seed is None or not self.variance:
            return plain
        return with_noise(plain, self.variance, seed, indices)


def noisy_examples(
    train_set: TrainSet,
    space: Space,
    captioner: Captioner,
    config: Config,
    variance: float,
) -> tuple[NoisyExamples, NoisyExamples]:
    """Return text-only examples to train on, and those held out; start the mapper."""
    training, held_out = hold_out(
        train_set.captions, config.training.validation_captions, config.seed
    )
    shared = (space.datastore, captioner.prompts, config.retrieval)
    examples = NoisyExamples(training, *shared, hidden=held_out)
    examples.variance = variance
    if config.captioner.mapper_start == "least_squares":
        fit_mapper(captioner, examples.embeddings, examples.captions)
    return examples, NoisyExamples(held_out, *shared, hidden=held_out)


class NoisyDRCap(LanguageModelBaseline):
    """DRCap, trained with noise and used without projection.

    As DRCap: prompt, retrieval with similarity selection, mapper, adapter. Not so: the
    mapper reads E_a itself at inference.
    """

    row = "DRCap, noise"
    settings_of = "noise"

    def settings(self, config: ExperimentsConfig) -> NoiseConfig:
        """Return how much noise there is."""
        return config.baselines.noise

    def examples(
        self, train_set: TrainSet, captioner: Captioner, config: Config
    ) -> tuple[Examples, Examples]:
        """Return DRCap's examples, noise added in training."""
        variance = captioner.settings.variance
        return noisy_examples(train_set, self.space, captioner, config, variance)

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        """Return the audio embeddings as they are."""
        return self.space.audio(batch.clips)

    def texts(self, batch: ClipBatch) -> list[list[str]]:
        """Return DRCap's similar captions (eq. 3)."""
        found = self.space.similar(batch.clips, self.config.retrieval.top_k)
        return [[match.caption for match in matches] for matches in found]
