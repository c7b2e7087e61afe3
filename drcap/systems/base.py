"""What every system can do (sec. III-B): fit one domain, caption clips of any.

All systems share the CLAP space, the language model and the recipe of the grid. A
recording that is silent throughout has no embedding, a row of zeros, and gets the
caption SILENCE from every system: no event is invented. Two systems are here, floors
that a captioner must beat to have earned its training.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from drcap.atomic import write_json
from drcap.config import Config, ExperimentsConfig
from drcap.data.clip import Clip
from drcap.joint_space import JointSpace
from drcap.retrieval import Match

SILENCE = "Silence"
COMMON = "caption.json"

Similar = Sequence[Sequence[Match]]  # of each clip the captions in its prompt


@dataclass(frozen=True)
class Captioned:
    """The result of one recording; `caption` is None exactly when `error` says why."""

    file: str | None  # None for a waveform
    caption: str | None
    similar_captions: Sequence[Match] = field(default_factory=list)  # in the prompt
    seconds: float = 0.0  # of encoding and decoding, where they were measured
    warning: str | None = None
    error: str | None = None


@dataclass(frozen=True)
class TrainingSet:
    """What a domain offers for training."""

    captions: Sequence[str]  # of all training clips, duplicates kept
    clips: tuple[Clip, ...] = ()  # those whose recordings are here
    validation: tuple[Clip, ...] = ()  # those that the best state is chosen by
    withheld: Sequence[str] = ()  # captions that enter no training prompt


@dataclass(frozen=True)
class ClipBatch:
    """B clips to be captioned, and the text of their domain."""

    clips: tuple[Clip, ...]
    captions: Sequence[str]  # training captions of the domain: support S of eq. 4
    withheld: Sequence[str] = ()  # captions kept out of the datastore ("w/o TD")


class System(ABC):
    """A captioner of the tables, in the joint space of one CLAP model."""

    settings_of = ""  # its own part of BaselinesConfig

    def __init__(self, space: JointSpace):
        self.space = space

    @classmethod
    def in_space(cls, space: JointSpace) -> Self:
        """Return an unfitted system."""
        return cls(space)

    def fit(
        self,
        training_set: TrainingSet,
        config: ExperimentsConfig,
        folder: Path,
    ) -> None:
        """Train in `folder`, or resume the run there; here nothing is trained."""
        self.load(folder, config)

    def save(self, folder: Path) -> None:  # noqa: B027
        """Write what `fit` made, whole or not at all; here nothing."""

    def load(self, folder: Path, config: ExperimentsConfig) -> None:  # noqa: B027
        """Read what `save` wrote, with the settings that `fit` had.

        CheckpointError if something is missing, damaged or of other models.
        """

    def adjusted(self, config: Config) -> Self:
        """Return the system with other settings of inference, if it has any."""
        return self

    def similar(self, batch: ClipBatch) -> Similar:
        """Return the captions in the prompts of B clips, nearest first (eq. 3)."""
        return [[] for _ in batch.clips]

    @abstractmethod
    def captions(self, batch: ClipBatch, similar: Similar) -> list[str]:
        """Return the captions of B audible clips with these similar captions."""

    def caption_clips(self, batch: ClipBatch) -> list[Captioned]:
        """Caption B clips, in order; AudioError for a recording that cannot be read."""

        def caption(rows: list[int]) -> tuple[list[str], Similar]:
            audible = replace(batch, clips=tuple(batch.clips[row] for row in rows))
            similar = self.similar(audible)
            return self.captions(audible, similar), similar

        files = [str(clip.path) for clip in batch.clips]
        return around_silence(files, self.space.audio(batch.clips), caption)


def around_silence(
    files: Sequence[str | None],
    audio: torch.Tensor,
    caption: Callable[[list[int]], tuple[list[str], Similar]],
) -> list[Captioned]:
    """Give SILENCE to silent recordings, rows of zeros; let `caption` do the others.

    audio : (B, D)      caption : from rows of `audio` to captions and similar captions
    """
    results = []
    for file in files:
        warning = f"{file or 'waveform'}: silent, so no event is named"
        results.append(Captioned(file, SILENCE, warning=warning))
    if rows := audio.any(dim=1).nonzero().flatten().tolist():
        for row, text, similar in zip(rows, *caption(rows), strict=True):
            results[row] = Captioned(files[row], text, similar)
    return results


class NearestCaption(System):
    """Retrieval alone (eq. 3): the caption of the datastore nearest to the clip."""

    def similar(self, batch: ClipBatch) -> Similar:
        return self.space.similar(batch.clips, 1)

    def captions(self, batch: ClipBatch, similar: Similar) -> list[str]:
        return [nearest.caption for [nearest] in similar]


class CommonCaption(System):
    """One caption for every clip: the one written most often in the training set.

    Of several as frequent, it is the one nearest to the mean of all embeddings.
    """

    def fit(self, training_set, config, folder) -> None:
        texts, counts = np.unique(training_set.captions, return_counts=True)
        frequent = texts[counts == counts.max()].tolist()
        mean = self.space.text(training_set.captions).mean(axis=0)
        self.common = frequent[int(np.argmax(self.space.text(frequent) @ mean))]
        self.save(folder)

    def captions(self, batch: ClipBatch, similar: Similar) -> list[str]:
        return [self.common] * len(batch.clips)

    def save(self, folder: Path) -> None:
        write_json(Path(folder) / COMMON, {"caption": self.common})

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        text = (Path(folder) / COMMON).read_text(encoding="utf-8")
        self.common = json.loads(text)["caption"]
