"""AudioCaps, Clotho, WavCaps and Sound-VECaps, as `drcap data prepare` leaves them.

A clip whose recording is missing still has captions, which text-only training, supports
and datastore read; to be heard, described or scored, it must have audio.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import ClassVar

import numpy as np

from drcap.data.captions import Clip
from drcap.data.clotho import SUBSETS as CLOTHO_SUBSETS
from drcap.data.corpora.base import Corpora
from drcap.data.overlap import Filtered
from drcap.data.overlap_cache import cached_overlap
from drcap.data.prepared import read_prepared
from drcap.errors import DatasetAbsentError, DatasetError

FOLDERS = {"ac": "audiocaps", "cl": "clotho"}


class PreparedCorpora(Corpora):
    """The real datasets below one folder, each prepared in its own."""

    names: ClassVar[Mapping[str, str]] = {"ac": "AudioCaps", "cl": "Clotho"}
    weak_name: ClassVar[str] = "WavCaps and the like"

    def clips(
        self, domain: str, subset: str, *, audio: bool = True
    ) -> tuple[Clip, ...]:
        """Return a subset of a domain.

        DatasetAbsentError: it is not prepared; DatasetError: audio is wanted and none
        of its recordings is here
        """
        published = CLOTHO_SUBSETS[subset] if domain == "cl" else subset
        every = self._subset(FOLDERS[domain], published)
        clips = tuple(clip for clip in every if clip.path is not None or not audio)
        if not clips:
            raise DatasetError(
                f"{self.root / FOLDERS[domain]}: no clip of {published} has a "
                "recording; prepare it again with its audio"
            )
        return clips

    @cached_property
    def weak(self) -> tuple[Clip, ...]:
        """All clips of the datasets that CLAP is trained on, or a sample of them."""
        clips = [
            clip
            for dataset in ("wavcaps", "soundvecaps")
            for subset in getattr(self.config, dataset)
            for clip in self._subset(dataset, subset)
        ]
        count = self.config.weak_clips
        if count is None or count >= len(clips):
            return tuple(clips)
        rows = np.random.default_rng(self.config.seed).permutation(len(clips))[:count]
        return tuple(clips[row] for row in np.sort(rows))

    @cached_property
    def pretraining(self) -> Filtered:
        """What is no clip of a target by its ids or by the published lists.

        Two million recordings are not compared by their sound, too.
        """
        return cached_overlap(self.weak, self.targets, fingerprints=False)

    @cached_property
    def copies(self) -> dict[str, Clip]:
        """Return clip_id -> original, of the removed clips that have a known one."""
        removed = self.pretraining.removed
        known = (each for each in removed if each.protected is not None)
        return {each.clip.clip_id: each.protected for each in known}

    def heard(self, clip: Clip) -> str:
        """Return a clip's keywords: nobody wrote down what else sounds in it."""
        return ", ".join(clip.keywords) or "not stated"

    def _subset(self, dataset: str, subset: str) -> tuple[Clip, ...]:
        path = self.root / dataset / f"{subset}.jsonl"
        if not path.is_file():
            raise DatasetAbsentError(
                f"{path}: not prepared; run `drcap data prepare {dataset} --root DIR` "
                f"(`drcap data sources {dataset}` says what to download)"
            )
        return read_prepared(path)
