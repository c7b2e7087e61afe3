"""The joint space of one CLAP model: all that the grid embeds and retrieves in it.

Every array is computed once and kept in the cache folder under the model's fingerprint,
so that a row of a table costs only the training and the captions that it alone needs.
"""

import hashlib
import json
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from drcap import paths
from drcap.clap import CLAP
from drcap.clap.batches import encode_over_time, encode_recordings
from drcap.data.captions import Clip
from drcap.files import atomic_path, write_json
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.matches import Match

WINDOWS = 3  # of a recording that are read in time: 30 s


class Space:
    """Captions and clips in the space of one CLAP model.

    captions : everything that the datastores and supports of the grid are made of
    """

    def __init__(self, clap: CLAP, captions: Sequence[str], *, progress: bool = True):
        self.clap = clap
        self.captions = captions
        self.progress = progress

    @property
    def folder(self) -> Path:
        """Where the arrays of this space are kept."""
        return paths.home() / "spaces" / self.clap.fingerprint

    @cached_property
    def datastore(self) -> CaptionDatastore:
        """All captions, each once, with their text embeddings."""
        folder = self.folder / f"datastore-{_digest(self.captions)}"
        if folder.exists():
            return CaptionDatastore.load(folder, self.clap)
        datastore = CaptionDatastore.build(
            self.captions, self.clap, progress=self.progress
        )
        datastore.save(folder)
        return datastore

    def text(self, captions: Sequence[str]) -> np.ndarray:
        """Return the embeddings of captions of the datastore, duplicates kept: (N, D).

        A support, S in eq. 4, is made of them.
        """
        rows = self.datastore.own_rows(captions, len(captions))
        return self.datastore.rows(rows)

    def audio(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return f_a of clips whose audio is here: (B, D) float32, unit rows."""
        return self.kept(
            "audio",
            clips,
            lambda paths: encode_recordings(paths, self.clap, progress=self.progress),
        )

    def frames(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return the audio encoder's states over time, (B, T, C) float32.

        T covers WINDOWS windows, silence behind a shorter recording.
        """
        return self._over_time("frames", clips)

    def log_mels(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return log-mels over as much time, (B, frames, mels) dB."""
        return self._over_time("log_mels", clips)

    @cached_property
    def frame_shape(self) -> tuple[int, int]:
        """(T, C) of `frames`."""
        one = self.clap.frames([np.zeros(self.clap.sr, np.float32)])
        return WINDOWS * one.shape[1], one.shape[2]

    @cached_property
    def log_mel_shape(self) -> tuple[int, int]:
        """(frames, mels) of `log_mels`."""
        one = self.clap.log_mels([np.zeros(self.clap.sr, np.float32)])
        return WINDOWS * one.shape[1], one.shape[2]

    def _over_time(self, kind: str, clips: Sequence[Clip]) -> torch.Tensor:
        encode = getattr(self.clap, kind)
        return self.kept(
            kind,
            clips,
            lambda paths: encode_over_time(
                paths, self.clap, encode, WINDOWS, progress=self.progress
            ),
        )

    def kept(
        self,
        kind: str,
        clips: Sequence[Clip],
        compute: Callable[[list[str]], np.ndarray],
    ) -> torch.Tensor:
        """Return what `compute` makes of the clips' recordings, computed once.

        kind : distinguishes, as a part of a file name, what is computed
        """
        recordings = [str(clip.path) for clip in clips]
        path = self.folder / f"{kind}-{_digest(recordings)}.safetensors"
        if not path.exists():
            rows = compute(recordings)
            with atomic_path(path) as aside:
                save_file({kind: rows}, aside)
        return torch.from_numpy(load_file(path)[kind])

    def similar(
        self, clips: Sequence[Clip], count: int, exclude: Collection[str] = ()
    ) -> list[list[Match]]:
        """Return the `count` captions most similar to each clip (eq. 3), nearest first.

        exclude : captions that are not in the datastore of this experiment
        """
        names = [str(clip.path) for clip in clips]
        key = _digest([names, count, sorted(exclude), self.datastore.fingerprint])
        path = self.folder / f"similar-{key}.json"
        if not path.exists():
            audio = self.audio(clips)
            found = self.datastore.search(audio, count, exclude=exclude)
            rows = [[(m.caption, m.similarity) for m in matches] for matches in found]
            write_json(path, rows)
        return [[Match(*pair) for pair in row] for row in json.loads(path.read_text())]


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
