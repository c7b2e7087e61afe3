"""What systems share that train a language model: one loop, examples, load and save.

A subclass says what its mapper reads of a caption or of a clip, which texts enter the
prompt, and by which captioner. Order, optimiser, schedule, the mapper's start, the
choice of the best state by the loss of the validation clips' captions, and beam search
are those of DRCap (sec. III-C).
"""

import json
import shutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from drcap.atomic import atomic_folder, write_json
from drcap.captioner.data import Examples, text_only_examples
from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import Prompt, PromptBuilder
from drcap.captioner.train import Trainer, TrainingRun, finished, untrained
from drcap.config import Config, ExperimentsConfig, override
from drcap.data.clip import Clip, captions_of
from drcap.devices import inference_dtype, resolve_device
from drcap.errors import ConfigError
from drcap.retrieval import CaptionDatastore
from drcap.systems.base import ClipBatch, Similar, System, TrainingSet

MEMORY = "memory.json"  # the captions that a system was trained on
# changes of the grid's recipe
NO_RETRIEVAL = {"retrieval": {"enabled": False}}
FROZEN = {"captioner": {"lora": False}}


class LanguageModelSystem(System):
    """A system whose captions a trained language model writes."""

    captioner_class: type[Captioner] = Captioner
    changes: Mapping[str, Any] = {}  # of the grid's recipe

    memory: list[str]  # the training captions
    captioner: Captioner
    config: Config
    run: TrainingRun  # as `fit` left it
    folder: Path  # what `load` read

    def settings(self, config: ExperimentsConfig) -> object:
        """Return what the captioner is built of."""
        return getattr(config.baselines, self.settings_of, None)

    def recipe(self, config: ExperimentsConfig) -> Config:
        """Return the grid's recipe with this system's changes and learning rate."""
        own = getattr(config.baselines, self.settings_of, None)
        rate = getattr(own, "peak_learning_rate", None)
        rate = rate or config.captioner.training.peak_learning_rate
        training = {"training": {"peak_learning_rate": rate}}
        return override(config.captioner, {**self.changes, **training})

    @property
    def width(self) -> int:
        """D, how many numbers the mapper reads of a clip."""
        return self.space.clap.dim

    def examples(
        self, training_set: TrainingSet, captioner: Captioner, config: Config
    ) -> tuple[Examples, Examples]:
        """Return the examples to train a captioner on, and those for validation.

        Here captions alone, their embeddings moved by the noise that the settings name.
        """
        variance = getattr(captioner.settings, "noise_variance", 0.0)
        return text_only_examples(
            *(captioner, training_set.captions, self.space.datastore, config, variance),
            validation=self.validation(training_set),
            withheld=training_set.withheld,
        )

    def validation(self, training_set: TrainingSet) -> CaptionDatastore | None:
        """Return the validation clips' captions and embeddings; None without clips."""
        texts = captions_of(training_set.validation)
        return CaptionDatastore.kept(texts, self.space.clap) if texts else None

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        """Return what the mapper reads of B clips, (B, D); here audio embeddings."""
        return self.space.audio(batch.clips)

    def texts(self, batch: ClipBatch, similar: Similar) -> list[list[str]]:
        """Return the texts in the prompts of B clips; here their similar captions."""
        return [[match.caption for match in matches] for matches in similar]

    def captions(self, batch: ClipBatch, similar: Similar) -> list[str]:
        inputs, texts = self.inputs(batch), self.texts(batch, similar)
        return generate(self.captioner, inputs, texts, self.config.generation)

    def fit(self, training_set, config, folder) -> None:
        """Train by DRCap's loop in `folder`, or resume; then ready to caption.

        A run that was trained, but whose MEMORY is missing, as after a kill, or of an
        older version, gets it written anew.
        """
        recipe = self.recipe(config)
        run = finished(recipe, folder)
        if run is None or remembered(run.best) is None:
            self.memory = list(training_set.captions)
            settings = self.settings(config)  # which `width` may depend on
            built = self.captioner_class, self.width, recipe
            captioner = untrained(*built, settings=settings)
            examples = self.examples(training_set, captioner, recipe)
            run = Trainer(recipe, captioner, *examples, folder).run()
            self.keep(run.best)
        self.run = run
        self.load(run.best, config)

    def keep(self, folder: Path) -> None:
        """Write beside the captioner what else belongs to the fitted system."""
        write_json(folder / MEMORY, self.memory)

    def save(self, folder: Path) -> None:
        with atomic_folder(Path(folder)) as aside:
            shutil.copytree(self.folder, aside, dirs_exist_ok=True)

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        self.folder, self.config = Path(folder), self.recipe(config)
        if (memory := remembered(folder)) is not None:
            self.memory = memory
        self.load_captioner(self.settings(config))

    def load_captioner(self, settings: object = None, device: str = "auto") -> None:
        """Read the captioner of `self.folder`, built as `self.config` says."""
        where = resolve_device(device)
        dtype = inference_dtype(where, self.config.generation.dtype)
        built = self.width, self.config.captioner, dtype, settings
        self.captioner = self.captioner_class.load(self.folder, *built).to(where)


def remembered(folder: Path) -> list[str] | None:
    """Return the captions in a folder's MEMORY; None if they are not there."""
    path = Path(folder) / MEMORY
    kept = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return kept if isinstance(kept, list) else None  # an object in older versions


class SupervisedSystem(LanguageModelSystem):
    """A system that is trained on recordings with their captions."""

    @abstractmethod
    def rows(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return what the mapper reads of B clips, (B, D)."""

    def training_texts(
        self, clips: Sequence[Clip], captions: Sequence[str]
    ) -> list[list[str]]:
        """Return the texts in the prompts of clips, in training; here none.

        captions : of the training set
        """
        return [[] for _ in clips]

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        return self.rows(batch.clips)

    def examples(self, training_set, captioner, config):
        def pairs(clips: Sequence[Clip]) -> PairExamples:
            texts = self.training_texts(clips, training_set.captions)
            return PairExamples(clips, captioner.prompts, self.rows(clips), texts)

        clips, captions = training_set.validation, config.training.validation_captions
        if not clips:
            raise ConfigError("no validation clip whose recording is here")
        each = max(1, round(np.mean([len(clip.captions) for clip in clips])))
        order = np.random.default_rng(config.seed).permutation(len(clips))
        chosen = sorted(order[: max(1, captions // each)])
        return pairs(training_set.clips), pairs([clips[row] for row in chosen])


class PairExamples(Examples):
    """Captions to be learned from their own clips, given rows and texts a clip."""

    def __init__(self, clips: Sequence[Clip], prompts: PromptBuilder, rows, texts):
        super().__init__([text for clip in clips for text in clip.captions], prompts)
        counts = [len(clip.captions) for clip in clips]
        self.clip_of = np.repeat(np.arange(len(clips)), counts)
        self.clips, self.rows, self.texts = clips, rows, texts

    def inputs(self, indices: Sequence[int], seed: int | None = None) -> torch.Tensor:
        return self.rows[self.clip_of[list(indices)]]

    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        return [self.texts[self.clip_of[index]] for index in indices]


class PrefixPrompts(PromptBuilder):
    """A prompt of P soft tokens, behind the text that `before` makes of a clip's."""

    def __init__(self, tokenizer, config, length: int, before=lambda texts: ""):
        super().__init__(tokenizer, config)
        self.length, self.before = length, before

    def prompt(self, texts: Sequence[str]) -> Prompt:
        first = [*self.start, *self._tokens(self.before(texts))]
        return Prompt(first + self.length * [self.end_id], len(first))
