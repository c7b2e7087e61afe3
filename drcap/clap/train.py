"""Contrastive training of CLAP (sec. III-A): Adam, warm-up, cosine, last model kept.

A run lives in one folder: config.json, log.csv, state.safetensors (what a killed run
resumes from, bit for bit) and model/, the result. One process or several, micro-batches
of any size and a resumed run all follow the same curve.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from drcap.clap.gradient_cache import backpropagate
from drcap.clap.log_mels import cached_log_mels
from drcap.clap.loss import contrastive_loss, embedding_regularisation
from drcap.clap.micro_batches import MicroBatch, MicroBatches
from drcap.clap.model import CLAPModel, TrainedCLAP
from drcap.clap.pairs import Draws, with_audio
from drcap.clap.texts import Texts
from drcap.clap.validation import MEASURES, Validation
from drcap.config import CLAPConfig, CLAPTrainingConfig
from drcap.data.captions import Clip
from drcap.devices import training_dtype
from drcap.errors import ConfigError
from drcap.files import sha256, write_json
from drcap.processes import Processes
from drcap.runs.run_folder import (
    load_state,
    read_log,
    refuse_another_run,
    save_state,
    saved_step,
    write_log,
)

COLUMNS = ("step", "epoch", "loss", "temperature", "learning_rate", *MEASURES)
WHOLE = ("step", "epoch")  # columns of whole numbers


@dataclass(frozen=True)
class CLAPRun:
    """What a finished run left behind."""

    folder: Path
    model: Path  # the model after the last epoch, see `TrainedCLAP.load`
    log: pd.DataFrame  # COLUMNS; a row a step, MEASURES at step 0 and an epoch's end


def learning_rate(step: int, per_epoch: int, settings: CLAPTrainingConfig) -> float:
    """Linear warm-up to the peak, then half a cosine to zero after the last step."""
    warmup = settings.warmup_epochs * per_epoch
    if step < warmup:
        return settings.peak_learning_rate * (step + 1) / warmup
    done = (step - warmup) / (settings.epochs * per_epoch - warmup)
    return settings.peak_learning_rate * (1 + math.cos(math.pi * done)) / 2


def steps(settings: CLAPTrainingConfig, clips: int) -> int:
    """Return the number of steps of a whole run on so many clips."""
    return settings.epochs * (clips // settings.batch_size)


def train_clap(
    config: CLAPConfig,
    clips: Sequence[Clip],
    folder: Path,
    *,
    validation: Sequence[Clip] = (),
    initial: Path | None = None,
    device: str = "auto",
    progress: bool = True,
) -> CLAPRun:
    """Train a CLAP model on pairs, or resume the run that lies in `folder`.

    clips : the training clips; one whose audio is missing or unreadable is told on
        stderr and left out
    validation : clips to measure on before the training and after each epoch
    initial : folder of a CLAP model of the same architecture to start from

    Under a launcher (`accelerate launch`) its processes share each batch, and the first
    of them writes. ConfigError if `folder` holds another run or the clips fill no
    batch; DatasetError if no clip can be read.
    """
    folder, processes = Path(folder), Processes(device)
    progress = progress and processes.main
    clips = with_audio(clips, told=processes.main)
    description = _describe(config, clips, initial)
    refuse_another_run(folder, description)
    if saved_step(folder) == steps(config.training, len(clips)) > 0:
        return CLAPRun(folder, folder / "model", read_log(folder, WHOLE))
    torch.manual_seed(config.seed)
    model = CLAPModel(config).to(processes.device)
    if initial is not None:
        _start_from(initial, model)
    cache = None
    if config.training.cache_log_mels:
        recordings = [clip.path for clip in clips]
        cache = cached_log_mels(recordings, config.front_end, progress)
    draws = Draws(clips, config.front_end, config.seed, cache)
    micro_batches = MicroBatches(config, model, draws, processes)
    draws.check()
    if processes.main:
        write_json(folder / "config.json", description)
    held_out = None
    if validation and processes.main:
        held_out = Validation(model, validation, progress)
    texts = Texts(model, draws.captions, progress)
    trainer = Trainer(config, model, micro_batches, texts, held_out, folder)
    if trainer.step == 0:
        if initial is None:
            model.fit_normalisation(*micro_batches.statistics())
        trainer.measure_start()
    trainer.run(progress)
    processes.wait()
    return CLAPRun(folder, folder / "model", read_log(folder, WHOLE))


class Trainer:
    """One run: its model, optimiser, log and place in the schedule."""

    def __init__(
        self,
        config: CLAPConfig,
        model: CLAPModel,
        micro_batches: MicroBatches,
        texts: Texts,
        validation: Validation | None,
        folder: Path,
    ):
        self.config = config
        self.settings = config.training
        self.model = model
        self.micro_batches = micro_batches
        self.processes = micro_batches.processes
        self.texts = texts
        self.validation = validation
        self.folder = folder
        self.steps = steps(self.settings, len(micro_batches.draws))
        self.dtype = training_dtype(self.settings.dtype, self.processes.device)
        parameters = dict(model.named_parameters())
        self.parameters = {
            name: each for name, each in parameters.items() if each.requires_grad
        }
        self.buffers = {
            name: each
            for name, each in model.state_dict().items()
            if name not in parameters
        }
        self.optimiser = torch.optim.Adam(self.parameters.values())
        self.rows: list[dict] = []
        self._resume()

    def measure_start(self) -> None:
        """Begin the log with the model as it is before the first step."""
        self.rows = [{"step": 0, "epoch": 0, "temperature": self._temperature()}]
        self._validate()

    def run(self, progress: bool = True) -> None:
        """Train from where the run stands to its last step."""
        bar = tqdm(
            total=self.steps,
            initial=self.step,
            desc="training",
            unit="step",
            disable=not progress,
        )
        with bar:
            for parts in self.micro_batches.stream(self.step, self.steps):
                loss = self._update(parts)
                bar.set_postfix({"loss": f"{loss:.3f}"}, refresh=False)
                bar.update()
                epoch_done = self.step % self.micro_batches.per_epoch == 0
                if epoch_done:
                    self._validate()
                if epoch_done or self.step % self.settings.save_every == 0:
                    self._save()

    def _update(self, parts: list[MicroBatch]) -> float:
        rate = learning_rate(self.step, self.micro_batches.per_epoch, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimiser.zero_grad()
        size = self.settings.batch_size
        loss = partial(self._loss, self._clips(parts))
        value = backpropagate(loss, self._encode, parts, size, self.processes)
        temperature = self.model.log_temperature  # each process has all its gradient
        shared = [p for p in self.parameters.values() if p is not temperature]
        self.processes.sum_gradients(shared)
        self.optimiser.step()
        self.step += 1
        epoch = math.ceil(self.step / self.micro_batches.per_epoch)
        row = {"step": self.step, "epoch": epoch, "loss": value.item()}
        row |= {"temperature": self._temperature(), "learning_rate": rate}
        self.rows.append(row)
        return row["loss"]

    def _clips(self, parts: list[MicroBatch]) -> torch.Tensor:
        """Return which clip each row of the whole batch is of, (B,)."""
        clips = parts[0].clips.new_zeros(self.settings.batch_size)
        for part in parts:
            clips[part.rows] = part.clips
        return self.processes.sum(clips)

    def _encode(self, part: MicroBatch) -> torch.Tensor:
        """Embed audio and text -> (2, n, D) float32."""
        # dropout must not depend on which process draws it, or how often
        key = (self.config.seed, part.step, part.rows.start)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        mixed = self.dtype is not torch.float32
        with torch.autocast(self.processes.device.type, self.dtype, enabled=mixed):
            audio = self.model.embed_log_mels(part.log_mels)
            text = self.texts.embed(part.captions)
        return torch.stack([audio.float(), text.float()])

    def _loss(
        self, clips: torch.Tensor, audio: torch.Tensor, text: torch.Tensor
    ) -> torch.Tensor:
        loss = contrastive_loss(audio, text, self.model.temperature, clips)
        if weight := self.settings.embedding_regularisation:
            both = embedding_regularisation(audio) + embedding_regularisation(text)
            loss = loss + weight * both
        return loss

    def _temperature(self) -> float:
        return self.model.temperature.item()

    def _validate(self) -> None:
        if self.validation is not None:
            self.rows[-1] |= self.validation.measure(self.settings.micro_batch)

    def _save(self) -> None:
        """Write the log, then the state that a killed run resumes from."""
        if not self.processes.main:
            return
        if self.step == self.steps:
            TrainedCLAP(self.model).save(self.folder / "model")
        write_log(self.folder, self.rows, COLUMNS)
        held = (self.optimiser, self.parameters, self.buffers)
        save_state(self.folder, self.step, *held)

    def _resume(self) -> None:
        held = (self.optimiser, self.parameters, self.buffers)
        self.step = load_state(self.folder, *held)
        if self.step:
            log = read_log(self.folder, WHOLE)
            # a kill may have come between the log and the state
            self.rows = log[log.step <= self.step].to_dict("records")


def _start_from(initial: Path, model: CLAPModel) -> None:
    """Give the model the weights of a saved one."""
    found = TrainedCLAP.load(initial, device="cpu").model.state_dict()
    try:
        model.load_state_dict(found)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip()
        raise ConfigError(
            f"{initial}: is no model of this configuration ({reason})"
        ) from None


def _describe(
    config: CLAPConfig, clips: Sequence[Clip], initial: Path | None
) -> dict[str, object]:
    """Return what makes a run this one: its configuration, clips and first weights."""
    named = [(clip.dataset, clip.clip_id, clip.captions) for clip in clips]
    digest = hashlib.sha256(json.dumps(named).encode()).hexdigest()
    weights = initial and sha256(Path(initial) / "model.safetensors")
    return {"config": config.to_dict(), "clips": digest, "initial": weights}
