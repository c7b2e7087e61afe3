"""Contrastive training of CLAP (sec. III-C): Adam, warm-up, cosine, last model kept.

A run lives in one folder: config.json, log.csv, state.safetensors (what a killed run
resumes from, bit for bit) and model/, the result. One process or several, micro-batches
of any size and a resumed run all follow the same curve.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from drcap import checkpoint
from drcap.atomic import sha256, write_json
from drcap.cache import digest, run_folder
from drcap.clap.front_end import LogMel
from drcap.clap.model import (
    WEIGHTS,
    CLAPModel,
    TrainedCLAP,
    autocast,
    contrastive_loss,
)
from drcap.clap.pairs import (
    Draws,
    MicroBatch,
    MicroBatches,
    keep_log_mels,
    with_audio,
)
from drcap.clap.validation import MEASURES, Texts, Validation
from drcap.config import CLAPConfig, CLAPTrainingConfig, clap_profile, override
from drcap.data.clip import Clip
from drcap.data.corpora import corpora
from drcap.devices import training_dtype
from drcap.processes import Processes

COLUMNS = ("step", "epoch", "loss", "temperature", "learning_rate", *MEASURES)
WHOLE = ("step", "epoch")  # columns of whole numbers


@dataclass(frozen=True)
class CLAPRun:
    """What a finished run left behind."""

    folder: Path
    model: Path  # the model after the last epoch, see `TrainedCLAP.load`
    log: pd.DataFrame  # COLUMNS; a row a step, MEASURES at step 0 and an epoch's end


def trained_clap(profile: str, seed: int = 0) -> CLAPRun:
    """Train the CLAP model of a profile on weak captions, targets removed (sec. III-A).

    The validation clips of AudioCaps are only measured on. Returns a finished run as it
    is and resumes a killed one. Raises the errors of `corpora` and `train_clap`.
    """
    config = override(clap_profile(profile), {"seed": seed})
    data = corpora(profile)
    clips, held_out = data.pairs, data.clips("ac", "val")
    folder = run_folder(f"clap-{profile}-seed-{seed}", run_key(config, clips))
    return train_clap(config, clips, folder, validation=held_out)


def untrained_clap(trained: TrainedCLAP, seed: int) -> TrainedCLAP:
    """Return the model as `seed` initialises it, before any training on pairs.

    The statistics of the mel bands are kept: they are the data's, not the training's.
    """
    torch.manual_seed(seed)
    model = CLAPModel(trained.model.config).to(trained.model.device)
    fitted = trained.model.normalisation
    model.fit_normalisation(fitted.running_mean, fitted.running_var)
    return TrainedCLAP(model)


def run_key(
    config: CLAPConfig, clips: Sequence[Clip], initial: Path | None = None
) -> dict[str, object]:
    """Return all that a run reads: its configuration, clips and first weights."""
    pairs = [(clip.dataset, clip.clip_id, clip.captions) for clip in clips]
    weights = initial and sha256(Path(initial) / WEIGHTS)
    return {"config": config.to_dict(), "clips": digest(pairs), "initial": weights}


def learning_rate(step: int, per_epoch: int, settings: CLAPTrainingConfig) -> float:
    """Linear warm-up to the peak, then half a cosine to zero after the last step."""
    warmup = settings.warmup_epochs * per_epoch
    if step < warmup:
        return settings.peak_learning_rate * (step + 1) / warmup
    done = (step - warmup) / (settings.epochs * per_epoch - warmup)
    return settings.peak_learning_rate * (1 + math.cos(math.pi * done)) / 2


def backpropagate(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    encode: Callable[[MicroBatch], torch.Tensor],
    micro_batches: Sequence[MicroBatch],
    batch_size: int,
    processes: Processes,
) -> torch.Tensor:
    """Add the gradient of the whole batch's loss to the `grad` of the weights.

    loss : of the batch's audio and text embeddings, (B, D) each
    encode : micro-batch -> (2, n, D) float32, audio and text; the same each time
    micro_batches : this process' share of the batch
    returns : the loss, a scalar

    The loss needs all embeddings of a batch, but not all activations at once (Gao et
    al., 2021): embeddings are computed first, without a graph; then, micro-batch by
    micro-batch, the loss's gradient at them is carried into the weights. Weights inside
    `encode` get the gradient of this share, to be summed over the processes; those
    inside `loss` get the whole gradient in every process.
    """
    if len(micro_batches) == 1 and processes.count == 1:
        value = loss(*encode(micro_batches[0]))
        value.backward()
        return value.detach()
    with torch.no_grad():
        parts = [encode(micro_batch) for micro_batch in micro_batches]
        embeddings = parts[0].new_zeros(2, batch_size, parts[0].shape[-1])
        for micro_batch, part in zip(micro_batches, parts, strict=True):
            embeddings[:, micro_batch.rows] = part
        embeddings = processes.sum(embeddings)  # rows of the other processes are zeros
    embeddings.requires_grad_()
    value = loss(*embeddings)
    value.backward()
    for micro_batch in micro_batches:
        encode(micro_batch).backward(embeddings.grad[:, micro_batch.rows])
    return value.detach()


def train_clap(
    config: CLAPConfig,
    clips: Sequence[Clip],
    folder: Path,
    *,
    validation: Sequence[Clip] = (),
    initial: Path | None = None,
    device: str = "auto",
    tracker: str | None = None,
) -> CLAPRun:
    """Train a CLAP model on pairs, or resume the run in `folder`.

    clips : training clips; one whose audio is missing or unreadable is named on stderr
        and left out
    validation : clips to measure on before the training and after each epoch
    initial : folder of a CLAP model of the same architecture to start from
    tracker : as for `drcap.checkpoint.track`

    Under a launcher the processes share each batch, and the first of them writes.
    Raises ConfigError if `folder` holds another run or the clips fill no batch,
    CheckpointError if `initial` does not fit, DatasetError if no clip can be read.
    """
    folder, processes = Path(folder), Processes(device)
    clips = with_audio(clips, report=processes.main)
    settings, key = config.training, run_key(config, clips, initial)
    checkpoint.refuse_another_run(folder, key)
    steps = settings.epochs * (len(clips) // settings.batch_size)
    if not checkpoint.saved_step(folder) == steps > 0:
        torch.manual_seed(config.seed)
        model = CLAPModel(config).to(processes.device)
        if initial is not None:
            model.load(Path(initial) / WEIGHTS)
        front_end, keep = LogMel(config.front_end), settings.cache_log_mels
        if keep:
            with processes.main_first():
                keep_log_mels([clip.path for clip in clips], front_end)
        draws = Draws(clips, front_end, config.seed, keep)
        micro_batches = MicroBatches(config, model, draws, processes)
        held_out = None
        if processes.main:
            write_json(folder / "config.json", key)
            if validation:
                held_out = Validation(model, with_audio(validation))
        texts = Texts(model, draws.captions, processes.main)
        parts = config, model, micro_batches, texts, held_out
        trainer = Trainer(folder, *parts, tracker)
        if trainer.step == 0 and initial is None:
            model.fit_normalisation(*micro_batches.statistics())
        trainer.run(steps)
        processes.wait()
    return CLAPRun(folder, folder / "model", checkpoint.read_log(folder, WHOLE))


@dataclass
class Trainer:
    """One run: its model, optimiser, log and place in the schedule."""

    folder: Path
    config: CLAPConfig
    model: CLAPModel
    micro_batches: MicroBatches
    texts: Texts
    validation: Validation | None
    tracker: str | None = None

    def __post_init__(self):
        self.settings = self.config.training
        self.processes = self.micro_batches.processes
        self.dtype = training_dtype(self.settings.dtype, self.processes.device)
        weights = dict(self.model.named_parameters())
        self.parameters = {n: p for n, p in weights.items() if p.requires_grad}
        state = self.model.state_dict().items()
        self.buffers = {name: t for name, t in state if name not in weights}
        self.optimiser = torch.optim.Adam(self.parameters.values())
        self.held = (self.optimiser, self.parameters, self.buffers)  # all that changes
        self.step = checkpoint.load_state(self.folder, *self.held)
        self.rows: list[dict] = []  # of the log
        if self.step:
            log = checkpoint.read_log(self.folder, WHOLE)
            # a kill may have come between the log and the state
            self.rows = log[log.step <= self.step].to_dict("records")
        self.send = checkpoint.track(self.tracker, self.folder, self.step)

    def run(self, steps: int) -> None:
        """Train from where the run stands up to `steps`, its last one."""
        if self.step == 0:
            temperature = self.model.temperature.item()
            self.rows = [{"step": 0, "epoch": 0, "temperature": temperature}]
            self._validate()
        bar = {"desc": "training", "unit": "step", "disable": not self.processes.main}
        with tqdm(total=steps, initial=self.step, **bar) as shown:
            for parts in self.micro_batches.stream(self.step, steps):
                loss = self._update(parts)
                shown.set_postfix({"loss": f"{loss:.3f}"}, refresh=False)
                shown.update()
                epoch_done = self.step % self.micro_batches.per_epoch == 0
                if epoch_done:
                    self._validate()
                if epoch_done or self.step % self.settings.save_every == 0:
                    self._save(last=self.step == steps)

    def _update(self, parts: list[MicroBatch]) -> float:
        rate = learning_rate(self.step, self.micro_batches.per_epoch, self.settings)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimiser.zero_grad()
        size = self.settings.batch_size
        clips = parts[0].clips.new_zeros(size)  # the clip of each row of the batch
        for part in parts:
            clips[part.rows] = part.clips
        clips = self.processes.sum(clips)

        def loss(audio: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            return contrastive_loss(audio, text, self.model.temperature, clips)

        value = backpropagate(loss, self._encode, parts, size, self.processes)
        # each process has the temperature's whole gradient
        temperature = self.model.log_temperature
        shared = [p for p in self.parameters.values() if p is not temperature]
        self.processes.sum_gradients(shared)
        self.optimiser.step()
        self.step += 1
        epoch = math.ceil(self.step / self.micro_batches.per_epoch)
        row = {"step": self.step, "epoch": epoch, "loss": value.item()}
        row |= {"temperature": self.model.temperature.item(), "learning_rate": rate}
        self.rows.append(row)
        return row["loss"]

    def _encode(self, part: MicroBatch) -> torch.Tensor:
        """Embed audio and text -> (2, n, D) float32."""
        # dropout must not depend on which process draws it, or how often
        key = (self.config.seed, part.step, part.rows.start)
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        with autocast(self.processes.device, self.dtype):
            audio = self.model.embed_log_mels(part.log_mels)
            text = self.texts.embed(part.captions)
        return torch.stack([audio.float(), text.float()])

    def _validate(self) -> None:
        if self.validation is not None:
            self.rows[-1] |= self.validation.measure(self.settings.micro_batch)

    def _save(self, last: bool) -> None:
        """Write the log, then the state that a killed run resumes from."""
        if not self.processes.main:
            return
        if last:
            TrainedCLAP(self.model).save(self.folder / "model")
        checkpoint.write_log(self.folder, self.rows, COLUMNS)
        self.send(self.rows)
        checkpoint.save_state(self.folder, self.step, *self.held)
