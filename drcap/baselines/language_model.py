"""What systems share that train a language model by one loop: fit, caption, save, load.

A subclass says what the mapper reads of a caption or of a clip, which texts enter the
prompt, and by which captioner; order, optimiser, schedule, the choice of the state that
is kept and generation are those of DRCap.
"""

import json
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drcap.baselines.interface import Baseline, ClipBatch, TrainSet
from drcap.captioner.data import Examples
from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import Prompt, PromptBuilder
from drcap.captioner.train import finished, run_training, untrained
from drcap.config import Config, ExperimentsConfig, override
from drcap.data.captions import Clip
from drcap.devices import inference_dtype, resolve_device
from drcap.files import atomic_folder, write_json
from drcap.runs.run_folder import saved_weights

MEMORY = "memory.json"  # what a system keeps of its training set


class LanguageModelBaseline(Baseline):
    """A system whose captions a trained language model writes."""

    captioner_class: type[Captioner] = Captioner
    changes: Mapping[str, Any] = {}  # of the grid's recipe

    def settings(self, config: ExperimentsConfig) -> object:
        """Return the system's own settings, of which its captioner is built."""
        return None

    @property
    def width(self) -> int:
        """D, how many numbers the mapper reads of a clip."""
        return self.space.clap.dim

    @abstractmethod
    def examples(
        self, train_set: TrainSet, captioner: Captioner, config: Config
    ) -> tuple[Examples, Examples]:
        """Return the examples to train on, and those held out for validation.

        captioner : untrained; weights that depend on the examples are set here
        """

    @abstractmethod
    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        """Return what the mapper reads of B clips, (B, D)."""

    def texts(self, batch: ClipBatch) -> list[list[str]]:
        """Return the texts that enter the prompts of B clips."""
        return [[] for _ in batch.clips]

    def memory(self) -> dict[str, Any]:
        """Return what must be kept of the training set, ready for JSON."""
        return {"captions": self.captions}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        self.captions = memory["captions"]

    def recipe(self, config: ExperimentsConfig) -> Config:
        """Return the grid's recipe with this system's changes and learning rate."""
        own = getattr(config.baselines, self.settings_of)
        shared = config.captioner.training.peak_learning_rate
        rate = getattr(own, "peak_learning_rate", None) or shared
        training = {"training": {"peak_learning_rate": rate}}
        return override(config.captioner, {**self.changes, **training})

    def fit(
        self,
        train_set: TrainSet,
        config: ExperimentsConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        """Train by DRCap's loop in `folder`, or resume; ready to caption."""
        recipe = self.recipe(config)
        self.captions = train_set.captions
        run = finished(recipe, folder)
        if run and (run.best / MEMORY).exists():
            self.load(run.best, config)
            return
        captioner = untrained(
            self.captioner_class, self.width, recipe, settings=self.settings(config)
        )
        examples, held_out = self.examples(train_set, captioner, recipe)
        run = run_training(
            recipe, captioner, examples, held_out, folder, progress=progress
        )
        self.keep(run.best)
        self.load(run.best, config)

    def keep(self, folder: Path) -> None:
        """Write what belongs to the fitted system beside its captioner."""
        write_json(folder / MEMORY, self.memory())

    def caption(self, batch: ClipBatch) -> list[str]:
        """Return a caption for each clip, by the beam search that all share."""
        return generate(
            self.captioner,
            self.inputs(batch),
            self.texts(batch),
            self.config.generation,
        )

    def save(self, folder: Path) -> None:
        """Copy the fitted system's folder."""
        with atomic_folder(Path(folder)) as aside:
            shutil.copytree(self.folder, aside, dirs_exist_ok=True)

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        """Load what `save` wrote, or the best state of a run."""
        recipe = self.recipe(config)
        device = resolve_device()
        dtype = inference_dtype(device, recipe.generation.dtype)
        self.recall(json.loads((Path(folder) / MEMORY).read_text(encoding="utf-8")))
        self.captioner = self.captioner_class.load(
            Path(folder), self.width, recipe.captioner, dtype, self.settings(config)
        ).to(device)
        self.config = recipe
        self.folder = Path(folder)

    @property
    def trained_parameters(self) -> int:
        """How many weights the state that was kept holds."""
        return saved_weights(self.folder)


class PrefixPrompts(PromptBuilder):
    """A prompt of P soft tokens between two texts, either of which may be empty."""

    def __init__(self, tokenizer, config, length: int):
        super().__init__(tokenizer, config)
        self.length = length

    def between(self, before: str = "", after: str = "") -> Prompt:
        """Lay out a prompt: the text before, P soft tokens, the text after."""
        first = [*self.start, *self._tokens(before)]
        soft = [self.end_id] * self.length
        return Prompt([*first, *soft, *self._tokens(after)], len(first))

    def prompt(self, texts: Sequence[str]) -> Prompt:
        """Return the soft tokens alone."""
        return self.between()


class PairExamples(Examples):
    """Captions to be learned from their own clips: supervised training.

    rows : what the mapper reads of each clip, (number of clips, ...)
    """

    def __init__(
        self, clips: Sequence[Clip], prompts: PromptBuilder, rows: torch.Tensor
    ):
        super().__init__([text for clip in clips for text in clip.captions], prompts)
        counts = [len(clip.captions) for clip in clips]
        self.clip_of = np.repeat(np.arange(len(clips)), counts)
        self.clips = list(clips)
        self.rows = rows

    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        """Return the rows of the captions' clips."""
        return self.rows[self.clip_of[list(indices)]]

    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        """Return no texts."""
        return [[] for _ in indices]


def hold_out_clips(
    clips: Sequence[Clip], captions: int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split off the clips of about so many captions, at most half: rows of either part.

    A clip is on one side with all of its captions.
    """
    each = max(1, round(np.mean([len(clip.captions) for clip in clips])))
    count = min(max(1, captions // each), len(clips) // 2)
    order = np.random.default_rng(seed).permutation(len(clips))
    return np.sort(order[count:]), np.sort(order[:count])
