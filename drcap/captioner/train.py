"""Text-only training (sec. II-A, III-C): Adam, linear warm-up and decay.

A run lives in one folder: config.json, log.csv, best/ (mapper and adapter of the lowest
validation loss) and state.safetensors, from which a killed run resumes bit for bit.

Processes of a launcher share each batch, and the first of them writes. The loss is a
mean over the batch's captions (eq. 2), so each micro-batch counts by its share of them:
gradients and losses are added up, never averaged.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from drcap import checkpoint
from drcap.atomic import atomic_folder, write_json
from drcap.captioner.data import Batch, Examples, text_only_examples
from drcap.captioner.language_model import checkpoint_activations
from drcap.captioner.mapper import fit_mapper
from drcap.captioner.model import Captioner
from drcap.config import Config, TrainingConfig, override
from drcap.devices import training_dtype
from drcap.errors import ConfigError
from drcap.processes import Processes
from drcap.retrieval import CaptionDatastore

# may change in a resumed run: they decide how a step is computed, not its result
FREE = {
    "captioner": {"attention": "auto"},
    "training": {"micro_batch": None, "gradient_checkpointing": False},
}
COLUMNS = ("step", "train_loss", "validation_loss", "learning_rate")


@dataclass(frozen=True)
class TrainingRun:
    """A run as it was left."""

    folder: Path
    log: pd.DataFrame  # step, train_loss, validation_loss, learning_rate

    @property
    def best(self) -> Path:
        """The captioner of the lowest validation loss, for `Captioner.load`."""
        return self.folder / "best"


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
    tracker: str | None = None,
) -> TrainingRun:
    """Train DRCap's captioner on captions alone, or resume the run in `folder`.

    captions : the training captions, duplicates kept; all of them in `datastore`
    stop_after : stop at this step of the schedule; a later call resumes there
    tracker : as for `drcap.checkpoint.track`

    The number of processes may change when a run is resumed; all must see `folder`.
    Errors of `finished`, `untrained`, `text_only_examples` and `Trainer`.
    """
    if run := finished(config, folder):
        return run
    captioner = untrained(Captioner, datastore.dim, config, device)
    examples = text_only_examples(captioner, captions, datastore, config)
    trainer = Trainer(config, captioner, *examples, folder, tracker)
    return trainer.run(stop_after)


def finished(config: Config, folder: Path) -> TrainingRun | None:
    """Return the run in `folder` if it is complete; ConfigError if it is another."""
    folder = Path(folder)
    path = folder / "config.json"
    there = Config.from_dict(json.loads(path.read_text())) if path.exists() else config
    if override(there, FREE) != override(config, FREE):
        raise ConfigError(
            f"{folder}: holds a run of another configuration; "
            "name another folder, or delete this one"
        )
    if (
        checkpoint.saved_step(folder) < config.training.steps
        or not (folder / "best").exists()
    ):
        return None
    return TrainingRun(folder, checkpoint.read_log(folder))


def untrained(
    kind: type[Captioner],
    embedding_dim: int,
    config: Config,
    device: str = "auto",
    settings: object = None,
) -> Captioner:
    """Create a captioner to be trained; errors of `Captioner.create`."""
    processes = Processes(device)
    torch.manual_seed(config.seed)
    dtype = training_dtype(config.training.dtype, processes.device)
    captioner = kind.create(embedding_dim, config.captioner, dtype, settings)
    if config.training.gradient_checkpointing:
        checkpoint_activations(captioner.causal_lm())
    return captioner.to(processes.device)


@dataclass
class Trainer:
    """One run: its examples, optimiser, log and place in the schedule.

    Resumes the run in `folder`. ConfigError if the batch size does not fit the examples
    or the processes, and as `drcap.checkpoint.track`.
    """

    config: Config
    captioner: Captioner
    examples: Examples
    held_out: Examples  # for validation
    folder: Path
    tracker: str | None = None

    def __post_init__(self):
        self.folder = Path(self.folder)
        self.settings = self.config.training
        self.processes = Processes(self.captioner.device.type)
        size, count = self.settings.batch_size, self.processes.count
        key = f"training.batch_size: {size}"
        if size < count:
            problem = f"cannot be shared by {count} processes; launch {size} or fewer"
            raise ConfigError(f"{key} {problem}")
        if size > len(self.examples):
            captions = f"{len(self.examples)} training captions"
            raise ConfigError(f"{key} is more than the {captions}")
        self.parameters = self.captioner.trainable()
        self.optimiser = torch.optim.Adam(self.captioner.rates())
        self.best_loss = float("inf")
        self.rows: list[dict] = []  # of the log
        self.step = checkpoint.load_state(self.folder, self.optimiser, self.parameters)
        if self.step:
            log = checkpoint.read_log(self.folder)
            log = log[log.step <= self.step]  # a kill may have come before the state
            self.best_loss = min(log.validation_loss.dropna(), default=self.best_loss)
            self.rows = log.to_dict("records")
        elif self.config.captioner.mapper_start == "least_squares":
            inputs = self.examples.inputs(range(len(self.examples)))
            fit_mapper(self.captioner, inputs, self.examples.captions)
        self.send = checkpoint.track(self.tracker, self.folder, self.step)
        self.processes.agree(self.parameters.values())

    def run(self, stop_after: int | None = None) -> TrainingRun:
        """Train from the current step to `stop_after`, or to the last step."""
        main, last = self.processes.main, self.settings.steps
        if main:
            write_json(self.folder / "config.json", self.config.to_dict())
        final = min(last, stop_after or last)
        shown = {"desc": "training", "unit": "step", "disable": not main}
        with tqdm(total=final, initial=self.step, **shown) as bar:
            for batch in self._batches(final):
                loss = self._update(batch)
                losses = {"loss": f"{loss:.3f}", "best": f"{self.best_loss:.3f}"}
                bar.set_postfix(losses, refresh=False)  # drawn by `update` when due
                bar.update()
                if self.step == last or self.step % self.settings.validate_every == 0:
                    self._validate()
                    self._save()
                elif self.step == final or self.step % self.settings.save_every == 0:
                    self._save()
        self.processes.wait()
        return TrainingRun(self.folder, checkpoint.read_log(self.folder))

    def _batches(self, final: int) -> Iterator[Batch]:
        """Yield the batches from the current step to `final`, epoch after epoch."""
        size = self.settings.batch_size
        per_epoch = len(self.examples) // size
        while self.step < final:
            epoch, done = divmod(self.step, per_epoch)
            # wherever a run was stopped, its epochs have the same length
            limit = min(per_epoch, self.settings.steps - epoch * per_epoch)
            batches = self.examples.epoch(size, self.config.seed, epoch, limit)
            yield from islice(batches, done, done + final - self.step)

    def _update(self, batch: Batch) -> float:
        rate = learning_rate(self.step, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["rate"]
        self.captioner.train()
        self.optimiser.zero_grad()
        loss = torch.zeros((), device=self.captioner.device)
        micro_batch = self.settings.micro_batch
        for first, part, weight in shares(batch, micro_batch, self.processes):
            # dropout follows from the step, so that a resumed run draws the same
            seed_dropout(self.config.seed, self.step, first)
            share = weight * self.captioner.loss(*part)
            share.backward()
            loss += share.detach()
        self.processes.sum_gradients(list(self.parameters.values()))
        self.optimiser.step()
        self.step += 1
        train_loss = self.processes.sum(loss).item()
        row = {"step": self.step, "train_loss": train_loss, "learning_rate": rate}
        self.rows.append(row)
        return train_loss

    @torch.no_grad()
    def _validate(self) -> None:
        """Measure the mean loss of the held-out captions; keep the best."""
        self.captioner.eval()
        size = 2 * self.settings.batch_size
        batches = list(self.held_out.in_order(size, self.config.seed))
        sums = torch.zeros(2, dtype=torch.float64)
        for batch, counts in self.processes.share(batches):
            loss = self.captioner.loss(*batch).item()
            if counts:
                count = len(batch.targets)
                sums += torch.tensor([loss * count, count], dtype=torch.float64)
        total, captions = self.processes.sum(sums).tolist()
        self.rows[-1]["validation_loss"] = loss = total / captions
        if loss < self.best_loss:
            self.best_loss = loss
            if self.processes.main:
                with atomic_folder(self.folder / "best") as best:
                    self.captioner.save(best)

    def _save(self) -> None:
        if self.processes.main:
            checkpoint.write_log(self.folder, self.rows, COLUMNS)
            self.send(self.rows)
            checkpoint.save_state(
                self.folder, self.step, self.optimiser, self.parameters
            )


def shares(
    batch: Batch, rows: int | None, processes: Processes
) -> list[tuple[int, Batch, float]]:
    """Return this process' parts of a batch; all processes get equally many.

    rows : of a part; None: one part a process
    returns : of each part its first row in the batch, its examples and its share of the
        batch's captions, 0 where it repeats the part of another process
    """
    size = len(batch.targets)
    rows = rows or -(-size // processes.count)
    parts = []
    for first, counts in processes.share(range(0, size, rows)):
        part = batch.rows(first, first + rows)
        parts.append((first, part, len(part.targets) / size if counts else 0.0))
    return parts


def seed_dropout(seed: int, step: int, first: int) -> None:
    """Seed the dropout of a batch's part by its first row, whichever process has it."""
    if first == 0:
        torch.manual_seed(seed * 1_000_003 + step)
    else:
        key = np.random.SeedSequence((seed, step, first))
        torch.manual_seed(int(key.generate_state(1)[0]))
