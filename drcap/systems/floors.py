"""Two floors: what a captioner must beat to have earned its training."""

import json
from pathlib import Path

import numpy as np

from drcap.atomic import write_json
from drcap.config import ExperimentsConfig
from drcap.systems.base import ClipBatch, Similar, System

COMMON = "caption.json"


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

    def fit(self, training_set, config, folder, *, progress=True) -> None:
        """Find the caption; write it to `folder`."""
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
