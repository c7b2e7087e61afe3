"""The one interface of all systems that DRCap is compared with (Tables I and II).

A system is fitted to one domain and then captions clips of any. It shares with DRCap
the CLAP space, the language model and the recipe; what makes it that system is its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drcap.config import ExperimentsConfig
from drcap.data.captions import Clip
from drcap.spaces import Space


@dataclass(frozen=True)
class TrainSet:
    """The training clips of one domain; text-only systems read their captions alone."""

    clips: tuple[Clip, ...]

    @property
    def captions(self) -> list[str]:
        """Every caption, duplicates kept."""
        return [text for clip in self.clips for text in clip.captions]


@dataclass(frozen=True)
class ClipBatch:
    """B clips to be captioned.

    captions : the training captions of their domain, for systems that retrieve from it
    """

    clips: tuple[Clip, ...]
    captions: Sequence[str]


class Baseline(ABC):
    """One system in the space of one CLAP model."""

    row: str  # the paper's name of it
    settings_of: str = ""  # the part of BaselinesConfig that is its own
    supervised: bool = False  # trained on pairs of audio and captions

    def __init__(self, space: Space):
        self.space = space

    @abstractmethod
    def fit(
        self,
        train_set: TrainSet,
        config: ExperimentsConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        """Train in `folder`, or resume the run that lies there; ready to caption."""

    @abstractmethod
    def caption(self, batch: ClipBatch) -> list[str]:
        """Return a caption for each clip."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `fit` made, whole or not at all."""

    @abstractmethod
    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        """Load what `save` wrote; CheckpointError if it is not whole."""

    @property
    def trained_parameters(self) -> int:
        """How many weights `fit` trained."""
        return 0
