"""The joint space of one CLAP model (sec. II-A): captions and clips embedded in it.

Everything is computed once and kept in the cache under the model's fingerprint, so that
a row of a table costs only the training and the captions that it alone needs.
"""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

import numpy as np
import torch

from drcap import cache
from drcap.clap import CLAP
from drcap.clap.batches import encode_over_time, encode_recordings
from drcap.data.clip import Clip
from drcap.retrieval import CaptionDatastore, Match

WINDOWS = 3  # of a recording that are read in time: 30 s


class JointSpace:
    """Captions and clips in the space of one CLAP model.

    captions : everything that the datastores and supports of the grid are made of
    beginning : embed only the first window of a recording, as the authors do
    """

    def __init__(
        self,
        clap: CLAP,
        captions: Sequence[str],
        *,
        beginning: bool = False,
    ):
        self.clap = clap
        self.captions = captions
        self.beginning = beginning

    @cached_property
    def datastore(self) -> CaptionDatastore:
        """All captions, each once, with their text embeddings."""
        return CaptionDatastore.kept(self.captions, self.clap)

    def text(self, captions: Sequence[str]) -> np.ndarray:
        """Return the embeddings of M captions, repeats included: (M, D) float32.

        A support, S in eq. 4, is made of them. DatastoreError names a caption that is
        not in the datastore.
        """
        return self.datastore.embeddings_of(captions)

    def audio(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return f_a of B clips: (B, D) float32, unit rows, zeros of a silent one.

        AudioError names a recording that cannot be read.
        """

        def encode(paths: list[str]) -> np.ndarray:
            return encode_recordings(paths, self.clap, beginning=self.beginning)

        return self._kept("beginnings" if self.beginning else "audio", clips, encode)

    def frames(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return the audio encoder's states over time, (B, T, C) float32.

        T covers WINDOWS windows; a shorter recording is followed by silence.
        """
        return self._over_time("frames", clips)

    def log_mels(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return log-mels over as much time, (B, frames, mels) dB."""
        return self._over_time("log_mels", clips)

    @cached_property
    def frame_shape(self) -> tuple[int, int]:
        """(T, C) of `frames`."""
        return self._shape(self.clap.frames)

    @cached_property
    def log_mel_shape(self) -> tuple[int, int]:
        """(frames, mels) of `log_mels`."""
        return self._shape(self.clap.log_mels)

    def similar(
        self, clips: Sequence[Clip], count: int, exclude: Collection[str] = ()
    ) -> list[list[Match]]:
        """Return the `count` captions most similar to each clip (eq. 3), nearest first.

        exclude : captions that are not in the datastore of this experiment
        returns : a list a clip, empty for a silent one
        """

        def search() -> list[list[tuple[str, float]]]:
            rows = self.datastore.search(self.audio(clips), count, exclude=exclude)
            return [[(m.caption, m.similarity) for m in matches] for matches in rows]

        paths = [str(clip.path) for clip in clips]
        key = [paths, count, sorted(exclude), self.datastore.fingerprint]
        key += ["beginnings"] if self.beginning else []
        rows = cache.keep("similar", key, search)
        return [[Match(*pair) for pair in row] for row in rows]

    def _kept(self, kind: str, clips: Sequence[Clip], encode: Callable) -> torch.Tensor:
        paths = [str(clip.path) for clip in clips]
        key = [self.clap.fingerprint, paths]
        return torch.from_numpy(cache.keep(kind, key, lambda: encode(paths)))

    def _over_time(self, kind: str, clips: Sequence[Clip]) -> torch.Tensor:
        def encode(paths: list[str]) -> np.ndarray:
            return encode_over_time(paths, self.clap, getattr(self.clap, kind), WINDOWS)

        return self._kept(kind, clips, encode)

    def _shape(self, encode: Callable) -> tuple[int, int]:
        one = encode([np.zeros(self.clap.sr, np.float32)])
        return WINDOWS * one.shape[1], one.shape[2]
