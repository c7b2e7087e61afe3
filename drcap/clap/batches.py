"""Many captions or recordings through a CLAP model: in batches, with a progress bar.

A recording longer than the model's window is read in windows; its embedding is their
mean, weighted by duration, at unit norm. Silent windows do not count.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from drcap import audio
from drcap.clap.encoder import CLAP


def encode_captions(
    captions: Sequence[str],
    clap: CLAP,
    *,
    batch_size: int = 512,
    progress: bool = True,
) -> np.ndarray:
    """Encode N captions -> (N, D) float32, unit rows, in the order given."""
    from tqdm import tqdm

    embeddings = np.empty((len(captions), clap.dim), dtype=np.float32)
    # Alike lengths together save padding; the longest first, so that the estimate of
    # the time left errs on the safe side.
    order = sorted(range(len(captions)), key=lambda row: -len(captions[row]))
    bar = tqdm(
        total=len(captions),
        desc="encoding captions",
        unit="caption",
        delay=2,
        disable=not progress,
    )
    with bar:
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            embeddings[rows] = clap.encode_text([captions[row] for row in rows]).numpy()
            bar.update(len(rows))
    return embeddings


def encode_windows(
    windows: Iterable[tuple[int, np.ndarray]],
    count: int,
    clap: CLAP,
    batch_size: int = 1,
) -> torch.Tensor:
    """Embed `count` recordings by their windows -> (count, D) float32, unit rows.

    windows : pairs of a recording's row and a waveform (n,) at `clap.sr`
    returns : zeros for a recording without an audible window
    """
    totals = torch.zeros(count, clap.dim)
    audible = (pair for pair in windows if not audio.is_silent(pair[1]))
    while batch := list(islice(audible, batch_size)):
        rows, waveforms = zip(*batch, strict=True)
        lengths = torch.tensor([[len(each)] for each in waveforms])
        weighted = lengths * clap.encode_audio(waveforms).cpu()
        totals.index_add_(0, torch.tensor(rows), weighted)
    return F.normalize(totals, dim=1)


def encode_recordings(
    paths: Sequence[str | Path],
    clap: CLAP,
    *,
    batch_size: int = 32,
    progress: bool = True,
) -> np.ndarray:
    """Embed N recordings -> (N, D) float32, unit rows, in the order given.

    A recording that is silent throughout has the embedding of its first window.
    AudioError names a file that cannot be read.
    """
    windows = _windows(paths, clap, progress)
    embeddings = encode_windows(windows, len(paths), clap, batch_size)
    for row in (embeddings == 0).all(dim=1).nonzero().flatten():
        first = next(audio.windows(paths[row], clap.sr, clap.window_seconds))
        embeddings[row] = clap.encode_audio([first])[0].cpu()
    return embeddings.numpy()


def encode_over_time(
    paths: Sequence[str | Path],
    clap: CLAP,
    encode: Callable[[Sequence[np.ndarray]], torch.Tensor],
    windows: int,
    *,
    progress: bool = True,
) -> np.ndarray:
    """Encode N recordings in time: `windows` windows each, (N, windows * T, C) float32.

    encode : from B waveforms to (B, T, C), as `clap.frames` or `clap.log_mels`

    A shorter recording is followed by silence, of a longer one the rest is left out.
    """
    from tqdm import tqdm

    silence = np.zeros(round(clap.sr * clap.window_seconds), dtype=np.float32)
    bar = {"unit": "recording", "delay": 2, "disable": not progress}
    rows = []
    for path in tqdm(paths, desc="encoding frames", **bar):
        heard = islice(audio.windows(path, clap.sr, clap.window_seconds), windows)
        padded = [*heard, *[silence] * windows][:windows]
        rows.append(encode(padded).flatten(0, 1).numpy())
    return np.stack(rows)


def _windows(
    paths: Sequence[str | Path], clap: CLAP, progress: bool
) -> Iterator[tuple[int, np.ndarray]]:
    from tqdm import tqdm

    bar = {"unit": "recording", "delay": 2, "disable": not progress}
    for row, path in enumerate(tqdm(paths, desc="encoding recordings", **bar)):
        for window in audio.windows(path, clap.sr, clap.window_seconds):
            yield row, window
