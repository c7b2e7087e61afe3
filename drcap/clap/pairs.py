"""Training pairs of CLAP (sec. III-A): a crop of a clip and one of its captions.

An epoch sees each clip once, whatever its number of captions: encoding audio is what
costs. Every draw follows from the seed and from what it is for, so that a resumed run,
another size of the micro-batches and several processes all see the same. The log-mels
of whole recordings may be computed once and kept; else they are computed in the
background. A process encodes micro-batches that follow one another in the batch.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from drcap import audio, cache
from drcap.clap.front_end import LogMel, spec_augment
from drcap.clap.model import CLAPModel
from drcap.config import CLAPConfig
from drcap.data.clip import Clip
from drcap.errors import AudioError, ConfigError, DatasetError
from drcap.processes import Processes

ORDER, DRAW = range(2)  # what a random number is for, part of its seed; 2 is AUGMENT
SAMPLE = 1_024  # clips whose log-mels give the statistics of the mel bands
MOST_WORKERS = 8  # processes that decode
VERSION = 1  # of the kept log-mels; raised when the same settings give others


def with_audio(clips: Sequence[Clip], report: bool = True) -> list[Clip]:
    """Return the clips that have audio and captions; name the others on stderr.

    Raises DatasetError if none has.
    """
    kept = []
    for clip in clips:
        lacking = "no audio" if clip.path is None else "no caption"
        if clip.path is not None and clip.captions:
            kept.append(clip)
        elif report:
            name = f"{clip.dataset} clip {clip.clip_id}"
            tqdm.write(f"left out: {name} has {lacking} here", file=sys.stderr)
    if not kept:
        raise DatasetError(
            f"none of {len(clips)} clips has audio and captions; check the folder that "
            "they were read from"
        )
    return kept


def batches(
    first: int, last: int, clips: int, batch_size: int, seed: int
) -> Iterator[list[tuple[int, int]]]:
    """Yield the batches of the steps `first` to `last`, each B draws (epoch, clip).

    An epoch is a shuffle of all clips; those that fill no batch wait for the next.
    """
    per_epoch = clips // batch_size
    for step in range(first, last):
        epoch, place = divmod(step, per_epoch)
        if place == 0 or step == first:
            order = np.random.default_rng((seed, ORDER, epoch)).permutation(clips)
        batch = order[place * batch_size : (place + 1) * batch_size]
        yield [(epoch, clip) for clip in batch.tolist()]


@torch.inference_mode()
def log_mel_of(path: Path, front_end: LogMel, keep: bool = True) -> np.ndarray:
    """Return a recording's log-mel, (at least config.frames, mels) float16, in dB.

    keep : compute it once, and keep it in the cache folder

    A recording shorter than `config.seconds` is followed by zeros up to it. Raises
    AudioError if it cannot be read.
    """
    settings = front_end.config

    def compute() -> np.ndarray:
        waveform = audio.load(path, settings.sr)
        samples = max(len(waveform), settings.samples)
        waveform = torch.from_numpy(audio.fit_length(waveform, samples))
        return front_end(waveform[None])[0].numpy().astype(np.float16)

    if not keep:
        return compute()
    key = [VERSION, asdict(settings), audio.state(path)]
    return cache.keep("log-mels", key, compute)


def keep_log_mels(paths: Sequence[Path], front_end: LogMel) -> None:
    """Compute the log-mels that are not kept yet; skip what cannot be read."""

    def attempt(path: Path) -> None:
        with suppress(AudioError):  # reported when it is drawn
            log_mel_of(path, front_end)

    bar = {"total": len(paths), "unit": "clip", "delay": 2}
    # decoding, resampling and the FFT release Python's lock
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for _ in tqdm(threads.map(attempt, paths), "computing log-mels", **bar):
            pass


@dataclass(eq=False)
class Draws(Dataset):
    """What an epoch draws of each clip, by (epoch, clip).

    An item is the clip, the row of its caption in `captions`, and a crop of its log-mel
    (frames, mels) float32. The next clip takes the place of one that cannot be read,
    which is named on stderr. `identities` (N,) are equal for records of the same clip.

    Raises DatasetError if no clip can be read.
    """

    clips: Sequence[Clip]
    front_end: LogMel
    seed: int
    keep: bool = True  # whether log-mels are computed once

    def __post_init__(self):
        self.captions = [text for clip in self.clips for text in clip.captions]
        counts = [len(clip.captions) for clip in self.clips]
        self.first_captions = np.cumsum([0, *counts[:-1]])
        names = [(clip.dataset, clip.clip_id) for clip in self.clips]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        self.identities = torch.tensor([numbers[name] for name in names])
        self.reported: set[int] = set()
        self[0, 0]  # at least one can be read

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[int, int, np.ndarray]:
        epoch, wanted = draw
        for distance in range(len(self)):
            clip = (wanted + distance) % len(self)
            try:
                return clip, *self._draw(epoch, clip)
            except AudioError as error:
                if clip not in self.reported:
                    tqdm.write(f"left out: {error}", file=sys.stderr)
                self.reported.add(clip)
        raise DatasetError("training clips: none can be read; check their files")

    def _draw(self, epoch: int, clip: int) -> tuple[int, np.ndarray]:
        random = np.random.default_rng((self.seed, DRAW, epoch, clip))
        caption = random.integers(len(self.clips[clip].captions))
        row = int(self.first_captions[clip] + caption)
        whole = log_mel_of(self.clips[clip].path, self.front_end, self.keep)
        frames = self.front_end.config.frames
        start = random.integers(len(whole) - frames + 1)
        return row, whole[start : start + frames].astype(np.float32)


# micro-batches


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
