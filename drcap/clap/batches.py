"""Many captions or recordings through a CLAP model: in batches, with a progress bar.

A recording longer than the model's window is read in windows. Its embedding is the mean
of those that are not silent, weighted by duration and scaled to unit norm.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from drcap import audio
from drcap.clap import CLAP
from drcap.data.clip import Clip
from drcap.evaluation.retrieval_scores import retrieval_scores


@dataclass(frozen=True)
class EmbeddedClips:
    """N clips and all their captions in the space of one CLAP model."""

    audio: np.ndarray  # (N, D) float32, unit rows; zeros for a silent recording
    text: np.ndarray  # (M, D) float32, unit rows
    clip_of_text: np.ndarray  # (M,), the clip that each caption describes

    @property
    def first_text(self) -> np.ndarray:
        """Each clip's first caption, (N, D): with `audio`, N pairs."""
        return self.text[np.unique(self.clip_of_text, return_index=True)[1]]

    def scores(self) -> dict[str, dict[str, float]]:
        """Return the retrieval scores in both directions, see `retrieval_scores`."""
        return retrieval_scores(self.audio, self.text, self.clip_of_text)


def embed_clips(clips: Sequence[Clip], clap: CLAP) -> EmbeddedClips:
    """Embed clips whose audio is here, and their captions in order.

    Raises AudioError for a recording that cannot be read.
    """
    captions = [caption for clip in clips for caption in clip.captions]
    return EmbeddedClips(
        encode_recordings([clip.path for clip in clips], clap),
        encode_captions(captions, clap),
        np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips]),
    )


def encode_captions(
    captions: Sequence[str], clap: CLAP, *, batch_size: int = 64, progress: bool = True
) -> np.ndarray:
    """Encode N captions -> (N, D) float32, unit rows, in the order given."""
    embeddings = np.empty((len(captions), clap.dim), dtype=np.float32)
    for rows in longest_first(captions, batch_size, "encoding captions", progress):
        embeddings[rows] = clap.encode_text([captions[row] for row in rows]).numpy()
    return embeddings


def longest_first(
    captions: Sequence[str], batch_size: int, title: str, progress: bool = True
) -> Iterator[list[int]]:
    """Yield the rows of all captions in batches of like length, behind a progress bar.

    Like lengths save padding. The longest come first, so that the bar does not promise
    too early an end.
    """
    order = sorted(range(len(captions)), key=lambda row: -len(captions[row]))
    shown = {"unit": "caption", "delay": 2, "disable": not progress}
    with tqdm(total=len(captions), desc=title, **shown) as bar:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            yield rows
            bar.update(len(rows))


def encode_windows(
    windows: Iterable[tuple[int, np.ndarray]],
    count: int,
    clap: CLAP,
    batch_size: int = 1,
) -> torch.Tensor:
    """Embed `count` recordings by their windows -> (count, D) float32, unit rows.

    windows : pairs of a recording's row and a waveform (n,) at `clap.sr`
    returns : zeros for a recording that is silent throughout
    """
    totals = torch.zeros(count, clap.dim)
    audible = (pair for pair in windows if not audio.is_silent(pair[1]))
    with ThreadPoolExecutor(1) as thread:  # decodes a batch while another is encoded
        following = thread.submit(list, islice(audible, batch_size))
        while batch := following.result():
            following = thread.submit(list, islice(audible, batch_size))
            rows, waveforms = zip(*batch, strict=True)
            lengths = torch.tensor([[len(waveform)] for waveform in waveforms])
            weighted = lengths * clap.encode_audio(waveforms).cpu()
            totals.index_add_(0, torch.tensor(rows), weighted)
    return F.normalize(totals, dim=1)


def encode_recordings(
    paths: Sequence[str | Path],
    clap: CLAP,
    *,
    batch_size: int = 32,
    beginning: bool = False,
    progress: bool = True,
) -> np.ndarray:
    """Embed N recordings -> (N, D) float32, unit rows, in the order given.

    beginning : read only the first window of the first channel, as the authors do
    returns : zeros for a recording that is silent throughout

    Raises AudioError for a file that cannot be read.
    """

    def windows() -> Iterator[tuple[int, np.ndarray]]:
        bar = {"unit": "recording", "delay": 2, "disable": not progress}
        for row, path in enumerate(tqdm(paths, desc="encoding recordings", **bar)):
            if beginning:
                yield row, audio.first_seconds(path, clap.sr, clap.window_seconds)
                continue
            for window in audio.windows(path, clap.sr, clap.window_seconds):
                yield row, window

    return encode_windows(windows(), len(paths), clap, batch_size).numpy()


def encode_over_time(
    paths: Sequence[str | Path],
    clap: CLAP,
    encode: Callable[[Sequence[np.ndarray]], torch.Tensor],
    windows: int,
    *,
    progress: bool = True,
) -> np.ndarray:
    """Encode N recordings in time: `windows` windows each, (N, windows * T, C) float32.

    encode : from B waveforms to (B, T, C), such as `clap.frames` or `clap.log_mels`

    A shorter recording is followed by silence; a longer one is cut. Raises AudioError
    for a file that cannot be read.
    """
    silence = np.zeros(round(clap.sr * clap.window_seconds), dtype=np.float32)
    bar = {"unit": "recording", "delay": 2, "disable": not progress}
    rows = []
    for path in tqdm(paths, desc="encoding frames", **bar):
        read = islice(audio.windows(path, clap.sr, clap.window_seconds), windows)
        padded = [*read, *[silence] * windows][:windows]
        rows.append(encode(padded).flatten(0, 1).cpu().numpy())
    return np.stack(rows)
