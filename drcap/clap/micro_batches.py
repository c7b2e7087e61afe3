"""Batches of training pairs in micro-batches, and the gradient of a whole batch.

The micro-batches of a step lie in its batch one after the other; each process gets some
that follow one another. Log-mels that are not kept are computed in the background.

A contrastive loss needs all embeddings of its batch, but not all activations at once:
`backpropagate` computes them twice (Gao et al., 2021).
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from drcap.clap.front_end import spec_augment
from drcap.clap.model import CLAPModel
from drcap.clap.pairs import ORDER, Draws, batches
from drcap.config import CLAPConfig
from drcap.errors import ConfigError
from drcap.processes import Processes

SAMPLE = 1_024  # clips whose log-mels give the statistics of the mel bands
MOST_WORKERS = 8  # processes that decode


@dataclass(frozen=True)
class MicroBatch:
    """Pairs that are encoded at once, the same in both passes of a step."""

    step: int
    rows: slice  # of the batch
    clips: torch.Tensor  # (n,), an int a clip; equal for the same one
    captions: list[int]  # rows of the training captions
    log_mels: torch.Tensor  # (n, frames, mels), augmented, on the device


@dataclass(frozen=True)
class MicroBatches:
    """One process' share of the batches of a run.

    Raises ConfigError if the clips fill no batch, or a batch not all processes.
    """

    config: CLAPConfig
    model: CLAPModel
    draws: Draws
    processes: Processes

    def __post_init__(self):
        if self.per_epoch == 0:
            raise ConfigError(
                f"training.batch_size: {self.config.training.batch_size} is more than "
                f"the {len(self.draws)} training clips; lower it"
            )
        self.share()

    @property
    def per_epoch(self) -> int:
        """Number of batches, so of steps, in an epoch."""
        return len(self.draws) // self.config.training.batch_size

    def share(self) -> list[slice]:
        """Return the rows of each micro-batch of a batch that this process encodes."""
        settings, processes = self.config.training, self.processes
        size, most = settings.batch_size, settings.micro_batch
        starts = range(0, size, most)
        parts = [slice(start, min(start + most, size)) for start in starts]
        if len(parts) < processes.count:
            raise ConfigError(
                f"training.micro_batch: {most} cuts a batch of {size} into "
                f"{len(parts)}, too few for {processes.count} processes; lower it"
            )
        index, count = processes.index, processes.count
        return parts[len(parts) * index // count : len(parts) * (index + 1) // count]

    def stream(self, first: int, last: int) -> Iterator[list[MicroBatch]]:
        """Yield this process' micro-batches of the steps from `first` to `last`."""
        shares = self.share()
        schedule = (first, last, len(self.draws), self.config.training.batch_size)
        drawn_batches = batches(*schedule, self.config.seed)
        requests = (batch[rows] for batch in drawn_batches for rows in shares)
        drawn = iter(self._load(requests))
        settings = self.config.training.spec_augment
        blank = self.model.normalisation.running_mean
        for step in range(first, last):
            parts = []
            for rows in shares:
                clips, captions, crops = next(drawn)
                log_mels = crops.to(self.processes.device)
                place = {"seed": self.config.seed, "step": step, "first": rows.start}
                spec_augment(log_mels, settings, blank, **place)
                names = self.draws.identities[clips].to(log_mels.device)
                parts.append(MicroBatch(step, rows, names, captions.tolist(), log_mels))
            yield parts

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of each mel band, (mels,), in a sample of clips."""
        order = np.random.default_rng((self.config.seed, ORDER, 0))
        sample = order.permutation(len(self.draws))[:SAMPLE].tolist()
        size = self.config.training.micro_batch
        starts = range(0, len(sample), size)
        requests = [[(0, clip) for clip in sample[n : n + size]] for n in starts]
        sums = torch.zeros(2, self.config.front_end.mels, dtype=torch.float64)
        for _, _, crops in self._load(requests):
            frames = crops.double()
            powers = torch.stack([frames, frames.square()])
            sums += powers.mean(dim=2).sum(dim=1)  # of frames, then of clips
        mean, square = sums / len(sample)
        return mean.float(), (square - mean**2).float()

    def _load(self, requests: Iterable[list[tuple[int, int]]]) -> DataLoader:
        cores = (os.cpu_count() or 1) // self.processes.count
        # kept log-mels are only read
        workers = 0 if self.draws.keep else min(MOST_WORKERS, max(1, cores - 1))
        return DataLoader(self.draws, batch_sampler=requests, num_workers=workers)


def backpropagate(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    encode: Callable[[MicroBatch], torch.Tensor],
    micro_batches: Sequence[MicroBatch],
    batch_size: int,
    processes: Processes,
) -> torch.Tensor:
    """Add the gradient of the whole batch's loss to the `grad` of the weights.

    loss : of the batch's audio and text embeddings, (B, D) each
    encode : micro-batch -> (2, n, D) float32, audio and text; the same each time
    micro_batches : this process' share of the batch
    returns : the loss, a scalar

    Embeddings are computed first, without a graph. Then micro-batch by micro-batch, the
    loss's gradient at them is carried into the weights. Weights inside `encode` get the
    gradient of this share, to be summed over the processes; those inside `loss` get the
    whole gradient in every process.
    """
    if len(micro_batches) == 1 and processes.count == 1:
        value = loss(*encode(micro_batches[0]))
        value.backward()
        return value.detach()
    with torch.no_grad():
        parts = [encode(micro_batch) for micro_batch in micro_batches]
        embeddings = parts[0].new_zeros(2, batch_size, parts[0].shape[-1])
        for micro_batch, part in zip(micro_batches, parts, strict=True):
            embeddings[:, micro_batch.rows] = part
        embeddings = processes.sum(embeddings)  # rows of the other processes are zeros
    embeddings.requires_grad_()
    value = loss(*embeddings)
    value.backward()
    for micro_batch in micro_batches:
        encode(micro_batch).backward(embeddings.grad[:, micro_batch.rows])
    return value.detach()
