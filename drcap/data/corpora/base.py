"""What the grid asks of its corpora, whether they are procedural or real."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import pandas as pd

from drcap.config import DatasetsConfig, SoundscapesConfig
from drcap.data.captions import Clip
from drcap.data.overlap import Filtered, captions_of

SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class Corpora(ABC):
    """Two domains, ac and cl, and weakly captioned clips to train CLAP on."""

    config: SoundscapesConfig | DatasetsConfig
    root: Path  # holds a folder a corpus

    names: ClassVar[Mapping[str, str]]  # domain -> the corpus that is it
    weak_name: ClassVar[str]

    @abstractmethod
    def clips(
        self, domain: str, subset: str, *, audio: bool = True
    ) -> tuple[Clip, ...]:
        """Return the subset train, val or test of a domain.

        audio : leave out the clips whose recording is not here
        """

    @property
    @abstractmethod
    def weak(self) -> tuple[Clip, ...]:
        """All weakly captioned clips, those of the targets included."""

    @property
    @abstractmethod
    def pretraining(self) -> Filtered:
        """Which weakly captioned clips may be learned from, and what was removed."""

    @property
    @abstractmethod
    def copies(self) -> dict[str, Clip]:
        """Return clip_id -> original, of the weak clips that are known to be copies."""

    @abstractmethod
    def heard(self, clip: Clip) -> str:
        """Say what sounds in a clip, as far as its corpus tells beside its captions."""

    @cached_property
    def targets(self) -> tuple[Clip, ...]:
        """All clips that no pretraining may hear, of every subset."""
        return tuple(
            clip
            for domain in self.names
            for subset in SUBSETS
            for clip in self.clips(domain, subset, audio=False)
        )

    @property
    def pairs(self) -> tuple[Clip, ...]:
        """What CLAP is trained on: of the clips that were kept, those with audio."""
        return tuple(clip for clip in self.pretraining.kept if clip.path is not None)

    @property
    def weak_captions(self) -> list[str]:
        """The datastore's captions of WavCaps (sec. III-B), the targets' left out."""
        kept = self.pretraining.kept
        return captions_of(clip for clip in kept if clip.dataset == "wavcaps")

    def sizes(self) -> pd.DataFrame:
        """Count each corpus and subset: its clips, captions and recordings."""
        subsets = {
            (name, subset): self.clips(domain, subset, audio=False)
            for domain, name in self.names.items()
            for subset in SUBSETS
        }
        subsets[self.weak_name, "train"] = self.weak
        rows = [
            {
                "corpus": corpus,
                "subset": subset,
                "clips": len(clips),
                "captions": sum(len(clip.captions) for clip in clips),
                "recordings": sum(clip.path is not None for clip in clips),
            }
            for (corpus, subset), clips in subsets.items()
        ]
        return pd.DataFrame(rows)
