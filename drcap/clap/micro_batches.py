"""Batches of training pairs, cut into micro-batches and shared among processes.

A step's micro-batches lie in its batch one after the other, and each process gets some
that follow one another. Waveforms are decoded in the background and turned into
log-mels on the device; cached log-mels come as they are. Then SpecAugment.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import DataLoader

from drcap.clap.model import CLAPModel
from drcap.clap.pairs import ORDER, Draws, augment, batches
from drcap.config import CLAPConfig, CLAPTrainingConfig
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
    log_mels: torch.Tensor  # (n, frames, mels), on the device, stripes blanked


class MicroBatches:
    """A process' share of the batches of a run."""

    def __init__(
        self, config: CLAPConfig, model: CLAPModel, draws: Draws, processes: Processes
    ):
        self.config = config
        self.settings = config.training
        self.model = model
        self.draws = draws
        self.processes = processes
        self.per_epoch = len(draws) // self.settings.batch_size
        if self.per_epoch == 0:
            raise ConfigError(
                f"training.batch_size: {self.settings.batch_size} is more than the "
                f"{len(draws)} training clips; lower it"
            )
        self.share = share(self.settings, processes.index, processes.count)

    def stream(self, first: int, last: int) -> Iterator[list[MicroBatch]]:
        """Yield this process' micro-batches of the steps from `first` to `last`."""
        drawn = iter(self._load(self._requests(first, last)))
        for step in range(first, last):
            yield [self._micro_batch(step, rows, *next(drawn)) for rows in self.share]

    def statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean and variance of each mel band, (mels,), in a sample of clips."""
        order = np.random.default_rng((self.config.seed, ORDER, 0))
        sample = order.permutation(len(self.draws))[:SAMPLE].tolist()
        size = self.settings.micro_batch
        draws = [(0, clip) for clip in sample]
        requests = [draws[start : start + size] for start in range(0, len(draws), size)]
        sums = torch.zeros(2, self.config.front_end.mels, dtype=torch.float64)
        for _, _, crops in self._load(requests):
            frames = self._log_mels(crops).double().cpu()
            powers = torch.stack([frames, frames.square()])
            sums += powers.mean(dim=2).sum(dim=1)  # of frames, then of clips
        mean, square = sums / len(sample)
        return mean.float(), (square - mean**2).float()

    def _requests(self, first: int, last: int) -> Iterator[list[tuple[int, int]]]:
        schedule = (first, last, len(self.draws), self.settings.batch_size)
        for batch in batches(*schedule, self.config.seed):
            yield from (batch[rows] for rows in self.share)

    def _load(self, requests: Iterable[list[tuple[int, int]]]) -> DataLoader:
        cores = (os.cpu_count() or 1) // self.processes.count
        workers = min(MOST_WORKERS, max(1, cores - 1))
        cached = self.draws.cache is not None
        return DataLoader(
            self.draws, batch_sampler=requests, num_workers=0 if cached else workers
        )

    @torch.no_grad()
    def _log_mels(self, crops: torch.Tensor) -> torch.Tensor:
        crops = crops.to(self.processes.device)
        return crops if crops.dim() == 3 else self.model.front_end(crops)

    def _micro_batch(
        self,
        step: int,
        rows: slice,
        clips: torch.Tensor,
        captions: torch.Tensor,
        crops: torch.Tensor,
    ) -> MicroBatch:
        log_mels = self._log_mels(crops)
        if self.settings.spec_augment.enabled:
            blank = self.model.normalisation.running_mean
            place = (self.config.seed, step, rows.start)
            augment(log_mels, blank, self.settings.spec_augment, *place)
        identities = self.draws.identities[clips].to(log_mels.device)
        return MicroBatch(step, rows, identities, captions.tolist(), log_mels)


def share(settings: CLAPTrainingConfig, index: int, count: int) -> list[slice]:
    """Return the rows of each micro-batch that process `index` of `count` encodes."""
    size, most = settings.batch_size, settings.micro_batch
    parts = [slice(start, min(start + most, size)) for start in range(0, size, most)]
    if len(parts) < count:
        raise ConfigError(
            f"training.micro_batch: {most} cuts a batch of {size} into {len(parts)}, "
            f"too few for {count} processes; lower it"
        )
    return parts[len(parts) * index // count : len(parts) * (index + 1) // count]
