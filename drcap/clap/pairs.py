"""Training pairs of CLAP: a crop of a clip and one of its captions, drawn each epoch.

An epoch sees each clip once, whatever its number of captions: encoding audio is what
costs, and a clip of five captions should not count five times. Every draw follows from
the seed and from what it is for, so a resumed run, another size of the micro-batches
and several processes all see the same.
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from drcap import audio
from drcap.clap.log_mels import LogMels
from drcap.config import FrontEndConfig, SpecAugmentConfig
from drcap.data.captions import Clip
from drcap.errors import AudioError, DatasetError

ORDER, DRAW, AUGMENT = range(3)  # what random numbers are for; part of their seed


def with_audio(clips: Sequence[Clip], told: bool = True) -> list[Clip]:
    """Return the clips that have audio and captions; tell of the others on stderr.

    DatasetError if none has.
    """
    kept = []
    for clip in clips:
        lacking = "no audio" if clip.path is None else "no caption"
        if clip.path is not None and clip.captions:
            kept.append(clip)
        elif told:
            name = f"{clip.dataset} clip {clip.clip_id}"
            tqdm.write(f"left out: {name} has {lacking} here", file=sys.stderr)
    if not kept:
        raise DatasetError(
            f"training clips: none of {len(clips)} has audio and captions; check the "
            "folder that they were read from"
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


class Draws(Dataset):
    """What an epoch draws of each clip, by (epoch, clip).

    An item is the clip, the row of its caption in `captions`, and a crop: a log-mel
    (frames, mels) if there is a cache, else a waveform (samples,), float32. A recording
    that cannot be read is told on stderr, and the next clip takes its place.
    `identities` (N,) are equal for records of the same clip.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        settings: FrontEndConfig,
        seed: int,
        cache: LogMels | None = None,
    ):
        self.clips = clips
        self.settings = settings
        self.seed = seed
        self.cache = cache
        self.captions = [text for clip in clips for text in clip.captions]
        counts = [len(clip.captions) for clip in clips]
        self.first_captions = np.cumsum([0, *counts[:-1]])
        numbers: dict[tuple[str, str], int] = {}
        self.identities = torch.tensor(
            [
                numbers.setdefault((clip.dataset, clip.clip_id), len(numbers))
                for clip in clips
            ]
        )
        self.told: set[int] = set()

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, draw: tuple[int, int]) -> tuple[int, int, np.ndarray]:
        epoch, wanted = draw
        for distance in range(len(self)):
            clip = (wanted + distance) % len(self)
            try:
                return clip, *self._drawn(epoch, clip)
            except AudioError as error:
                if clip not in self.told:
                    tqdm.write(f"left out: {error}", file=sys.stderr)
                self.told.add(clip)
        raise DatasetError("training clips: none can be read; check their files")

    def check(self) -> None:
        """Raise DatasetError if none of the clips can be read."""
        self[0, 0]

    def _drawn(self, epoch: int, clip: int) -> tuple[int, np.ndarray]:
        random = np.random.default_rng((self.seed, DRAW, epoch, clip))
        caption = random.integers(len(self.clips[clip].captions))
        row = int(self.first_captions[clip] + caption)
        if self.cache is not None:
            frames = self.settings.frames
            start = random.integers(self.cache.frames(clip) - frames + 1)
            return row, self.cache.crop(clip, start, frames)
        samples = self.settings.samples
        waveform = audio.load(self.clips[clip].path, self.settings.sr)
        start = random.integers(max(0, len(waveform) - samples) + 1)
        return row, audio.fit_length(waveform[start:], samples)


def augment(
    log_mels: torch.Tensor,
    blank: torch.Tensor,
    settings: SpecAugmentConfig,
    seed: int,
    step: int,
    first: int,
) -> None:
    """Roll, change the level, and blank random stripes of time and mels, in place.

    log_mels : (n, frames, mels) dB, pairs `first` and on of the batch of this `step`
    blank : (mels,), what a stripe is filled with
    """
    _, frames, mels = log_mels.shape
    for place, log_mel in enumerate(log_mels, start=first):
        random = np.random.default_rng((seed, AUGMENT, step, place))
        if settings.roll:
            log_mel.copy_(log_mel.roll(int(random.integers(frames)), 0))
        if settings.gain:
            log_mel += random.uniform(-settings.gain, settings.gain)
        for start, end in _stripes(
            random, frames, settings.time_stripes, settings.time_width
        ):
            log_mel[start:end] = blank
        for start, end in _stripes(
            random, mels, settings.mel_stripes, settings.mel_width
        ):
            log_mel[:, start:end] = blank[start:end]


def _stripes(
    random: np.random.Generator, length: int, count: int, width: int
) -> list[tuple[int, int]]:
    """Draw `count` stripes (start, end) within `length`, each at most `width` wide."""
    widths = random.integers(min(width, length) + 1, size=count)
    starts = random.integers(length - widths + 1)
    return list(zip(starts.tolist(), (starts + widths).tolist(), strict=True))
