"""Two honest floors: what a captioner must beat to have earned its training.

The nearest caption of the domain, word for word; and the one caption that is nearest to
all others of the training set, whatever is heard.
"""

import json
from pathlib import Path

import numpy as np

from drcap.baselines.interface import Baseline, ClipBatch, TrainSet
from drcap.config import ExperimentsConfig
from drcap.files import write_json

COMMON = "caption.json"


class NearestCaption(Baseline):
    """Retrieval alone: the first caption that DRCap would have in its prompt."""

    row = "Nearest caption"

    def fit(
        self,
        train_set: TrainSet,
        config: ExperimentsConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        """Train nothing."""

    def caption(self, batch: ClipBatch) -> list[str]:
        """Return the caption of the datastore that is nearest to each clip (eq. 3)."""
        return [found[0].caption for found in self.space.similar(batch.clips, 1)]

    def save(self, folder: Path) -> None:
        """Write nothing: there is nothing of its own."""

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        """Load nothing."""


class CommonCaption(Baseline):
    """One caption for every clip: the one written most often in the training set.

    Where several are as frequent, it is the one nearest to their mean embedding.
    """

    row = "Most common caption"

    def fit(
        self,
        train_set: TrainSet,
        config: ExperimentsConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        """Find the caption."""
        captions = train_set.captions
        texts, counts = np.unique(captions, return_counts=True)
        often = texts[counts == counts.max()].tolist()
        embeddings = self.space.text(often)
        mean = self.space.text(captions).mean(axis=0)
        self.said = often[int(np.argmax(embeddings @ mean))]
        self.save(folder)

    def caption(self, batch: ClipBatch) -> list[str]:
        """Return the caption, for each clip."""
        return [self.said] * len(batch.clips)

    def save(self, folder: Path) -> None:
        """Write the caption."""
        write_json(Path(folder) / COMMON, {"caption": self.said})

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        """Read what `save` wrote."""
        text = (Path(folder) / COMMON).read_text(encoding="utf-8")
        self.said = json.loads(text)["caption"]
