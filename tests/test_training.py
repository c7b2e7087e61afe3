import multiprocessing
import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_kill import Killed, kill_at
from safetensors.torch import load_file

from drcap.captioner.data import TextOnlyExamples, hold_out
from drcap.captioner.model import Captioner
from drcap.captioner.train import Trainer, _refuse_another_run, learning_rate, train
from drcap.config import (
    CaptionerConfig,
    Config,
    RetrievalConfig,
    TrainingConfig,
    override,
)
from drcap.errors import ConfigError
from drcap.retrieval import CaptionDatastore
from drcap.runs import run_folder

CAPTIONS = [*TOY_CAPTIONS, *TOY_CAPTIONS[:6]]  # some of them twice
BAND = RetrievalConfig(sim_min=0.3, sim_max=0.8)


def toy_config(language_model, seed=0, retrieval=BAND, **changes):
    """13 steps, 10 an epoch; validated at 4, 8, 12, 13, saved at 3, 6, 9 too."""
    schedule = {"steps": 13, "batch_size": 5, "warmup_steps": 2, "validate_every": 4}
    others = {"save_every": 3, "validation_captions": 10, "dtype": "float32"}
    rate = {"peak_learning_rate": 0.01}
    return Config(
        seed=seed,
        captioner=CaptionerConfig(language_model),
        retrieval=retrieval,
        training=TrainingConfig(**schedule | others | rate | changes),
    )


def run(config, folder, stop_after=None):
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    options = {"stop_after": stop_after, "device": "cpu", "progress": False}
    return train(config, CAPTIONS, datastore, folder, **options)


def contents(folder):
    """Return the bytes of a run's files; what a kill left half-written is hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".writing-" not in str(path)
    }


@pytest.fixture(scope="module")
def finished(language_model, tmp_path_factory):
    """The run of toy_config, never interrupted."""
    return run(toy_config(language_model), tmp_path_factory.mktemp("runs") / "run")


# the schedule


def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero():
    config = TrainingConfig(steps=10, warmup_steps=4, peak_learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(10)]
    rise, fall = (
        [1 / 4, 2 / 4, 3 / 4, 4 / 4],
        [6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6],
    )
    assert rates == pytest.approx(rise + fall)


def test_a_schedule_may_lack_a_warm_up_or_a_decay():
    constants = {"steps": 4, "peak_learning_rate": 1.0}
    decay = TrainingConfig(warmup_steps=0, **constants)
    assert [learning_rate(s, decay) for s in range(4)] == [1, 0.75, 0.5, 0.25]
    rise = TrainingConfig(warmup_steps=4, **constants)
    assert [learning_rate(s, rise) for s in range(4)] == [0.25, 0.5, 0.75, 1]


# a run


def test_training_learns_its_captions(language_model, tmp_path):
    config = toy_config(language_model, steps=40, validate_every=40)
    losses = run(config, tmp_path).log.train_loss
    assert losses[-5:].mean() < losses[:5].mean() - 1


def test_the_log_tells_each_step(finished, language_model):
    log, config = finished.log, toy_config(language_model).training
    assert log.step.tolist() == list(range(1, 14))
    assert log.learning_rate.tolist() == [learning_rate(s, config) for s in range(13)]
    validated = log.step[log.validation_loss.notna()]
    assert validated.tolist() == [4, 8, 12, 13]


def test_a_run_holds_only_what_it_needs(finished):
    assert contents(finished.folder).keys() == {
        *("config.json", "log.csv", "state.safetensors", "best/mapper.safetensors"),
        *("best/adapter/adapter_config.json", "best/adapter/adapter_model.safetensors"),
    }


def test_the_lowest_validation_loss_is_kept(language_model, tmp_path, monkeypatch):
    mappers, validate = [], Trainer._validate

    def watched(trainer):
        validate(trainer)
        mappers.append(trainer.captioner.mapper.weight.clone())

    monkeypatch.setattr(Trainer, "_validate", watched)
    config = toy_config(
        language_model, steps=40, validate_every=5, peak_learning_rate=0.3
    )
    result = run(config, tmp_path)
    losses = result.log.validation_loss.dropna().to_numpy()
    assert 0 < losses.argmin() < len(losses) - 1  # this run got worse in the end
    kept = load_file(result.best / "mapper.safetensors")["weight"]
    torch.testing.assert_close(kept, mappers[losses.argmin()], atol=0, rtol=0)


def test_the_validation_loss_is_the_mean_over_the_held_out_captions_tokens(
    language_model, finished
):
    config = toy_config(language_model)
    best = Captioner.load(finished.best, 32, config.captioner, torch.float32)
    kept, held_out = hold_out(CAPTIONS, 10, seed=0)
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    made = TextOnlyExamples(held_out, datastore, best.prompts, BAND, held_out)
    batch = made.batch(range(10), made.similar(range(10), seed=0))
    loss = best.loss(batch.embeddings, batch.prompts, batch.targets).item()
    assert loss == pytest.approx(finished.log.validation_loss.min(), abs=1e-5)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(
    language_model, tmp_path, finished
):
    again = run(toy_config(language_model), tmp_path / "again")
    assert contents(again.folder) == contents(finished.folder)
    other = run(toy_config(language_model, seed=1), tmp_path / "other")
    assert other.log.train_loss[0] != finished.log.train_loss[0]


# how a step is computed


def test_micro_batches_give_the_curve_of_whole_batches(language_model, tmp_path):
    config = override(toy_config(language_model), {"captioner": {"lora_dropout": 0.0}})
    whole = run(config, tmp_path / "whole").log
    for size in (1, 2, 4):
        parts = override(config, {"training": {"micro_batch": size}})
        log = run(parts, tmp_path / str(size)).log
        for column in ("train_loss", "validation_loss"):
            np.testing.assert_allclose(log[column], whole[column], atol=1e-5, rtol=0)


def test_checkpointed_activations_do_not_change_the_curve(
    language_model, tmp_path, finished
):
    log = run(toy_config(language_model, gradient_checkpointing=True), tmp_path).log
    for column in ("train_loss", "validation_loss"):
        np.testing.assert_allclose(log[column], finished.log[column], atol=1e-5, rtol=0)


def test_a_run_may_go_on_in_smaller_parts_and_not_with_other_settings(
    language_model, tmp_path, finished
):
    stopped = run(toy_config(language_model), tmp_path / "run", stop_after=6)
    smaller = toy_config(language_model, micro_batch=2, gradient_checkpointing=True)
    log = run(smaller, stopped.folder).log
    assert log.step.tolist() == finished.log.step.tolist()
    assert log.train_loss[:6].tolist() == finished.log.train_loss[:6].tolist()
    quantised = override(smaller, {"captioner": {"quantisation": "nf4"}})
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        _refuse_another_run(stopped.folder, quantised)


# a killed run


KILLS = {
    "before the first step": (Trainer, "_update", 1),
    "before the first save": (Trainer, "_save", 1),
    "in the first save, the log written and the state not": (
        run_folder,
        "save_file",
        1,
    ),
    "after the first save": (Trainer, "_save", 1, True),
    "between two saves": (Trainer, "_update", 5, True),
    "before a validation": (Trainer, "_validate", 2),
    "in a validation, before the new best is written": (Captioner, "save", 2),
    "in a validation, the new best not in place": (Captioner, "save", 2, True),
    "in a validation, the old best gone, the new not in place": (Path, "rename", 3),
    "after a validation, the state not saved": (Trainer, "_validate", 2, True),
    "in a later save, the log written and the state not": (run_folder, "save_file", 4),
    "in the second epoch": (Trainer, "_update", 12),
    "before the last save": (Trainer, "_save", 7),
}


@pytest.mark.parametrize("when", KILLS)
def test_a_killed_run_resumes_to_the_same_bytes(
    when, language_model, tmp_path, finished
):
    config = toy_config(language_model)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, *KILLS[when])
        run(config, tmp_path / "run")
    resumed = run(config, tmp_path / "run")
    assert contents(resumed.folder) == contents(finished.folder)
    pd.testing.assert_frame_equal(resumed.log, finished.log, check_exact=True)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(
    language_model, tmp_path, finished
):
    config, random_ = toy_config(language_model), random.Random(0)
    for _ in range(6):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, Trainer, "_update", random_.randint(1, 4), after=True)
            run(config, tmp_path / "run")
    resumed = run(config, tmp_path / "run")
    assert contents(resumed.folder) == contents(finished.folder)


def train_until_killed(config, folder):
    """Train in this process, which dies by SIGKILL, its third state half written."""
    states, save_file = iter(range(1, 1000)), run_folder.save_file

    def fatal(tensors, path, metadata):
        save_file(tensors, path, metadata)
        if next(states) == 3:
            path.write_bytes(path.read_bytes()[:1000])
            os.kill(os.getpid(), signal.SIGKILL)

    run_folder.save_file = fatal
    run(config, folder)


def test_a_process_killed_while_it_writes_resumes_to_the_same_bytes(
    language_model, tmp_path, finished
):
    config = toy_config(language_model)
    process = multiprocessing.get_context("spawn").Process(
        target=train_until_killed, args=(config, tmp_path / "run")
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert contents(tmp_path / "run") != contents(finished.folder)
    resumed = run(config, tmp_path / "run")
    assert contents(resumed.folder) == contents(finished.folder)


@pytest.mark.parametrize("stop", [1, 6, 8, 12])
def test_a_stopped_run_goes_on_to_the_same_bytes(
    language_model, tmp_path, finished, stop
):
    config = toy_config(language_model)
    stopped = run(config, tmp_path / "run", stop_after=stop)
    assert len(stopped.log) == stop
    run(config, tmp_path / "run")
    assert contents(stopped.folder) == contents(finished.folder)


def test_a_finished_run_is_left_alone(language_model, tmp_path, finished, monkeypatch):
    shutil.copytree(finished.folder, tmp_path / "run")
    for name in ("_update", "_validate", "_save"):
        kill_at(monkeypatch, Trainer, name, 1)
    again = run(toy_config(language_model), tmp_path / "run")
    assert contents(again.folder) == contents(finished.folder)
    pd.testing.assert_frame_equal(again.log, finished.log)


def test_no_model_is_loaded_to_see_that_a_run_is_finished(
    language_model, tmp_path, finished, monkeypatch
):
    folder = shutil.copytree(finished.folder, tmp_path / "run")
    kill_at(monkeypatch, Captioner, "create", 1)
    assert run(toy_config(language_model), folder).best == folder / "best"
    with pytest.raises(ConfigError, match="holds a run of another configuration"):
        run(toy_config(language_model, seed=1), folder)
    shutil.rmtree(folder / "best")
    with pytest.raises(Killed):  # there is no result: it is no finished run
        run(toy_config(language_model), folder)


# mistakes


def test_a_folder_with_another_run_is_refused_and_kept(language_model, finished):
    before = contents(finished.folder)
    with pytest.raises(ConfigError, match=f"{finished.folder}: holds a run of another"):
        run(toy_config(language_model, steps=14), finished.folder)
    assert contents(finished.folder) == before


def test_a_batch_beyond_the_captions_is_refused_and_the_folder_left_free(
    language_model, tmp_path
):
    with pytest.raises(ConfigError, match="batch_size: 54 is more than the 53 train"):
        run(toy_config(language_model, batch_size=54), tmp_path / "run")
    assert not (tmp_path / "run").exists()
