"""Text-only training (sec. III-B): Adam, linear warm-up and decay, best loss kept.

A run lives in one folder: config.json, log.csv, state.safetensors (what a killed run
resumes from, bit for bit) and best/ (mapper and adapter, the result). Under a launcher
its processes share each batch, and the first of them writes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from drcap.captioner.data import Examples, TextOnlyExamples, hold_out
from drcap.captioner.language_model import checkpoint_activations
from drcap.captioner.mapper_start import fit_mapper
from drcap.captioner.model import Captioner
from drcap.captioner.shares import (
    Part,
    caption_tokens,
    refuse_idle,
    seed_dropout,
    shard_frozen,
    shares,
)
from drcap.config import Config, TrainingConfig, override
from drcap.devices import training_dtype
from drcap.errors import ConfigError
from drcap.files import atomic_folder, write_json
from drcap.processes import Processes
from drcap.retrieval import CaptionDatastore
from drcap.runs.run_folder import (
    load_state,
    read_log,
    save_state,
    saved_step,
    write_log,
)

# what may be changed before a run goes on: how a step is computed, not which
FREE = {
    "captioner": {"attention": "auto"},
    "training": {"micro_batch": None, "gradient_checkpointing": False},
}
COLUMNS = ("step", "train_loss", "validation_loss", "learning_rate")


@dataclass(frozen=True)
class TrainingRun:
    """What a finished run left behind."""

    folder: Path
    best: Path  # mapper and adapter of the lowest validation loss
    log: pd.DataFrame  # step, train_loss, validation_loss, learning_rate


def learning_rate(step: int, config: TrainingConfig) -> float:
    """Linear warm-up to the peak, then linear decay to zero after the last step."""
    if step < config.warmup_steps:
        return config.peak_learning_rate * (step + 1) / config.warmup_steps
    left = config.steps - step
    return config.peak_learning_rate * left / (config.steps - config.warmup_steps)


def train(
    config: Config,
    captions: Sequence[str],
    datastore: CaptionDatastore,
    folder: Path,
    *,
    stop_after: int | None = None,
    device: str = "auto",
    progress: bool = True,
) -> TrainingRun:
    """Train a captioner on captions alone, or resume the run that lies in `folder`.

    captions : the training captions, duplicates kept; all of them in `datastore`
    stop_after : leave the schedule at this step; a later call goes on from there

    Under `accelerate launch` the number of processes may change when a run goes on; all
    of them must see `folder`.

    ConfigError if `folder` holds a run of another configuration, or if the captions are
    too few; DatastoreError if the datastore lacks one.
    """
    if run := finished(config, folder):
        return run
    captioner = untrained(Captioner, datastore.dim, config, device)
    training, held_out = hold_out(
        captions, config.training.validation_captions, config.seed
    )
    shared = (datastore, captioner.prompts, config.retrieval)
    examples = TextOnlyExamples(training, *shared, hidden=held_out)
    validation = TextOnlyExamples(held_out, *shared, hidden=held_out)
    if config.captioner.mapper_start == "least_squares":
        fit_mapper(captioner, examples.embeddings, examples.captions)
    return run_training(
        config, captioner, examples, validation, folder, stop_after, progress
    )


def finished(config: Config, folder: Path) -> TrainingRun | None:
    """Return the run that lies in `folder` if nothing of it is left to do.

    No model is loaded to tell. ConfigError as in `train`.
    """
    folder = Path(folder)
    _refuse_another_run(folder, config)
    if saved_step(folder) < config.training.steps or not (folder / "best").exists():
        return None
    return TrainingRun(folder, folder / "best", read_log(folder))


def untrained(
    kind: type[Captioner],
    embedding_dim: int,
    config: Config,
    device: str = "auto",
    settings: object = None,
) -> Captioner:
    """Return a captioner to be trained, its random weights those of the seed."""
    processes = Processes(device)
    where = processes.device
    torch.manual_seed(config.seed)
    dtype = training_dtype(config.training.dtype, where)
    captioner = kind.create(embedding_dim, config.captioner, dtype, settings)
    if config.training.gradient_checkpointing:
        checkpoint_activations(captioner.causal_lm())
    if processes.sharded:
        shard_frozen(captioner, processes)
    return captioner.to(where)


def run_training(
    config: Config,
    captioner: Captioner,
    examples: Examples,
    held_out: Examples,
    folder: Path,
    stop_after: int | None = None,
    progress: bool = True,
) -> TrainingRun:
    """Train `captioner` on `examples`, or resume the run that lies in `folder`.

    held_out : examples whose lowest loss decides which state is kept

    ConfigError as in `train`.
    """
    folder = Path(folder)
    _refuse_another_run(folder, config)
    trainer = Trainer(config, captioner, examples, held_out, folder)
    processes = trainer.processes
    if processes.main:
        write_json(folder / "config.json", config.to_dict())
    trainer.run(stop_after, progress and processes.main)
    processes.wait()
    return TrainingRun(folder, folder / "best", read_log(folder))


class Trainer:
    """One run: its examples, optimiser, log and place in the schedule."""

    def __init__(
        self,
        config: Config,
        captioner: Captioner,
        examples: Examples,
        held_out: Examples,
        folder: Path,
    ):
        self.config = config
        self.settings = config.training
        self.captioner = captioner
        self.examples = examples
        self.held_out = held_out
        self.folder = folder
        self.processes = Processes(captioner.device.type)
        refuse_idle(self.settings.batch_size, self.processes)
        self.batches_per_epoch = len(examples) // self.settings.batch_size
        if self.batches_per_epoch == 0:
            raise ConfigError(
                f"training.batch_size: {self.settings.batch_size} is more than the "
                f"{len(examples)} training captions; lower it"
            )
        self.optimiser = torch.optim.Adam(captioner.rates())
        self.best_loss = float("inf")
        self.rows: list[dict] = []
        self._resume()

    def run(self, stop_after: int | None = None, progress: bool = True) -> None:
        """Train from where the run stands to `stop_after`, or its last step."""
        final = min(self.settings.steps, stop_after or self.settings.steps)
        bar = tqdm(
            total=final,
            initial=self.step,
            desc="training",
            unit="step",
            disable=not progress,
        )
        with bar:
            for batch in self._batches(final):
                loss = self._update(batch)
                losses = {"loss": f"{loss:.3f}", "best": f"{self.best_loss:.3f}"}
                bar.set_postfix(losses, refresh=False)  # drawn by `update` when due
                bar.update()
                last = self.step == self.settings.steps
                if last or self.step % self.settings.validate_every == 0:
                    self._validate()
                    self._save()
                elif self.step == final or self.step % self.settings.save_every == 0:
                    self._save()

    def _batches(self, final: int):
        """Yield the batches from `self.step` to `final`, epoch after epoch."""
        size, seed = self.settings.batch_size, self.config.seed
        per_epoch = self.batches_per_epoch
        while self.step < final:
            epoch, done = divmod(self.step, per_epoch)
            # the epoch's length depends on the schedule only, never on a resume
            limit = min(per_epoch, self.settings.steps - epoch * per_epoch)
            for index, batch in enumerate(
                self.examples.epoch(size, seed, epoch, limit)
            ):
                if index >= done and self.step < final:
                    yield batch

    def _update(self, batch) -> float:
        rate = learning_rate(self.step, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        self.captioner.train()
        self.optimiser.zero_grad()
        parts = shares(batch, self.settings.micro_batch, self.processes)
        loss = self.processes.sum(sum(map(self._backpropagate, parts)))
        self.processes.sum_gradients(list(self.captioner.trainable().values()))
        self.optimiser.step()
        self.step += 1
        row = {"step": self.step, "train_loss": loss.item(), "learning_rate": rate}
        self.rows.append(row)
        return row["train_loss"]

    def _backpropagate(self, part: Part) -> torch.Tensor:
        """Add a part's gradient to the weights'; return what it adds to the loss."""
        # dropout is a function of the step, so that a resumed run draws the same
        seed_dropout(self.config.seed, self.step, part.first)
        batch = part.batch
        loss = self.captioner.loss(batch.embeddings, batch.prompts, batch.targets)
        loss = part.weight * loss
        loss.backward()
        return loss.detach()

    def _validate(self) -> None:
        loss = self._validation_loss()
        self.rows[-1]["validation_loss"] = loss
        if loss < self.best_loss:
            self.best_loss = loss
            if self.processes.main:
                with atomic_folder(self.folder / "best") as best:
                    self.captioner.save(best)

    @torch.no_grad()
    def _validation_loss(self) -> float:
        """Return the mean over the held-out captions' tokens, of all processes."""
        self.captioner.eval()
        size = 2 * self.settings.batch_size
        batches = list(self.held_out.in_order(size, self.config.seed))
        sums = torch.zeros(2, dtype=torch.float64)
        for place, batch in enumerate(self.processes.share(batches)):
            loss = self.captioner.loss(batch.embeddings, batch.prompts, batch.targets)
            if not self.processes.is_filler(place, len(batches)):
                count = caption_tokens(batch)
                sums += torch.tensor([loss.item() * count, count], dtype=torch.float64)
        total, tokens = self.processes.sum(sums.to(self.captioner.device)).tolist()
        return total / tokens

    def _save(self) -> None:
        """Write the log, then the state that a killed run resumes from."""
        if not self.processes.main:
            return
        write_log(self.folder, self.rows, COLUMNS)
        parameters = self.captioner.trainable()
        save_state(self.folder, self.step, self.optimiser, parameters)

    def _resume(self) -> None:
        parameters = self.captioner.trainable()
        self.step = load_state(self.folder, self.optimiser, parameters)
        if self.step:
            log = read_log(self.folder)
            log = log[log.step <= self.step]  # a kill may have come before the state
            self.best_loss = min(log.validation_loss.dropna(), default=self.best_loss)
            self.rows = log.to_dict("records")
        self.processes.agree(parameters.values())


def _refuse_another_run(folder: Path, config: Config) -> None:
    path = folder / "config.json"
    if not path.exists():
        return
    # settings that are newer than the run have had their defaults in it
    there = Config.from_dict(json.loads(path.read_text()))
    if override(there, FREE) != override(config, FREE):
        raise ConfigError(
            f"{folder}: holds a run of another configuration; "
            "name another folder, or delete this one"
        )
