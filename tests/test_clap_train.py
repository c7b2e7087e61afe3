import math
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from doubles_clap import tiny_clap_config, tiny_text_encoder, write_clips
from doubles_kill import Killed, kill_at

from drcap import cache, checkpoint
from drcap.clap.batches import encode_recordings
from drcap.clap.model import CLAPModel, TrainedCLAP, contrastive_loss
from drcap.clap.train import (
    COLUMNS,
    Trainer,
    learning_rate,
    run_key,
    train_clap,
    untrained_clap,
)
from drcap.clap.validation import MEASURES, Validation, readable
from drcap.config import CLAPTrainingConfig, override
from drcap.errors import CheckpointError, ConfigError, DatasetError

# what the launcher runs; every process has recordings of its own to read
LAUNCHED = """
import os, sys
sys.path[:0] = [{tests!r}, {root!r}]
from pathlib import Path
from doubles_clap import tiny_clap_config, write_clips
from drcap.clap.train import train_clap
folder = Path({folder!r})
own = folder / os.environ["RANK"]
train_clap(
    tiny_clap_config({encoder!r}, training={training!r}, text_encoder={text!r}),
    write_clips(own / "clips", 13),
    folder / "run",
    validation=write_clips(own / "held-out", 5, seed=1),
    device="cpu",
)
"""
TWO = {"epochs": 2, "micro_batch": 2}


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRCAP_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_text_encoder(tmp_path_factory.mktemp("text-encoder"))


@pytest.fixture(scope="module")
def config(encoder):
    return tiny_clap_config(encoder)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 13)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("held-out"), 5, seed=1)


@pytest.fixture(scope="module")
def run(clips, held_out):
    def run(config, folder, clips=clips, held_out=held_out, **options):
        options = {"device": "cpu"} | options
        return train_clap(config, clips, folder, validation=held_out, **options)

    return run


@pytest.fixture(scope="module")
def finished(run, config, tmp_path_factory):
    """The run of the tiny model, never interrupted."""
    return run(config, tmp_path_factory.mktemp("runs") / "run")


def contents(folder):
    """Return the bytes of a run's files; what a kill left half-written is hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".writing-" not in str(path)
    }


def with_training(config, **changes):
    return override(config, {"training": changes})


# the schedule


def test_the_learning_rate_rises_by_epochs_and_falls_along_half_a_cosine():
    settings = CLAPTrainingConfig(epochs=5, warmup_epochs=1, peak_learning_rate=2.0)
    rates = [learning_rate(step, 2, settings) for step in range(10)]
    fall = [1 + math.cos(math.pi * done / 8) for done in range(8)]
    assert rates == pytest.approx([1.0, 2.0, *fall])
    assert learning_rate(10, 2, settings) == pytest.approx(0)
    fall = CLAPTrainingConfig(epochs=2, warmup_epochs=0, peak_learning_rate=1.0)
    assert learning_rate(0, 2, fall) == 1
    assert learning_rate(2, 2, fall) == pytest.approx(0.5)
    rise = CLAPTrainingConfig(epochs=2, warmup_epochs=2, peak_learning_rate=1.0)
    assert [learning_rate(s, 2, rise) for s in range(4)] == [0.25, 0.5, 0.75, 1]


# a run


def test_training_learns_its_pairs(run, config, tmp_path):
    longer = with_training(config, epochs=25, spec_augment={"enabled": False})
    log = run(longer, tmp_path).log
    losses = log.loss.dropna()
    assert losses[-6:].mean() < 0.5 * losses[:6].mean()
    measured = log.dropna(subset=["paired"]).paired
    assert measured.iloc[-1] > measured.iloc[0]


def test_the_log_has_each_step_and_measures_before_and_after_each_epoch(
    finished, config
):
    log, settings = finished.log, config.training
    assert tuple(log.columns) == COLUMNS
    assert log.step.tolist() == list(range(10))
    assert log.epoch.tolist() == [0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    rates = [learning_rate(step, 3, settings) for step in range(9)]
    assert log.learning_rate[1:].tolist() == rates
    assert log.temperature[0] == pytest.approx(config.temperature)
    assert log.temperature.notna().all() and log.temperature.nunique() == 10
    assert log.loss[1:].notna().all()
    for measure in MEASURES:
        assert log.step[log[measure].notna()].tolist() == [0, 3, 6, 9]
    assert contents(finished.folder).keys() == {
        *("config.json", "log.csv", "state.safetensors"),
        *("model/config.json", "model/model.safetensors"),
    }


def test_the_last_measures_are_those_of_the_saved_model(finished, held_out):
    clap = TrainedCLAP.load(finished.model, device="cpu")
    captions = [clip.captions[0] for clip in held_out]
    text = clap.encode_text(captions)
    recordings = [clip.path for clip in held_out]
    audio = torch.from_numpy(encode_recordings(recordings, clap, progress=False))
    last = finished.log.iloc[-1]
    paired = (audio * text).sum(dim=1).mean().item()
    assert last.paired == pytest.approx(paired, abs=1e-4)
    distance = (audio.mean(0) - text.mean(0)).norm().item()
    assert last.gap == pytest.approx(distance, abs=1e-4)
    loss = contrastive_loss(audio, text, clap.temperature, torch.arange(5))
    assert last.validation_loss == pytest.approx(loss.item(), abs=1e-3)
    assert last.recall_at_10 == 1  # ten of seven captions
    assert last.temperature == pytest.approx(clap.temperature)


def test_a_seed_gives_the_same_bytes_and_another_seed_others(
    run, config, tmp_path, finished
):
    again = run(config, tmp_path / "again")
    assert contents(again.folder) == contents(finished.folder)
    shorter = with_training(replace(config, seed=1), epochs=1)
    other = run(shorter, tmp_path / "other", held_out=()).log
    assert other.loss[1] != finished.log.loss[1]
    assert other[list(MEASURES)].isna().all(axis=None)


def test_log_mels_computed_in_the_background_give_the_same_curve(
    run, config, tmp_path, finished
):
    log = run(with_training(config, cache_log_mels=False), tmp_path / "run").log
    pd.testing.assert_frame_equal(log, finished.log, check_exact=True)


@pytest.mark.parametrize("trained", [False, True])
def test_the_text_encoder_learns_only_if_asked_to(run, encoder, tmp_path, trained):
    config = tiny_clap_config(
        encoder,
        text_encoder={"trained": trained},
        training={"epochs": 1, "warmup_epochs": 0},
    )
    after = TrainedCLAP.load(run(config, tmp_path).model, device="cpu").model
    before = CLAPModel(config)
    assert same_weights(before.text_encoder, after.text_encoder) is not trained
    assert not same_weights(before.audio_encoder, after.audio_encoder)


def same_weights(one, other):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_mixed_precision_follows_the_same_curve_roughly(
    run, config, tmp_path, finished
):
    losses = run(with_training(config, dtype="bfloat16"), tmp_path).log.loss
    np.testing.assert_allclose(losses[1:], finished.log.loss[1:], rtol=0.1)


# micro-batches and processes


@pytest.mark.parametrize("micro_batch", [1, 3])
def test_the_size_of_the_micro_batches_does_not_change_the_curve(
    run, config, tmp_path, finished, micro_batch
):
    log = run(with_training(config, micro_batch=micro_batch), tmp_path).log
    for column in ("loss", "temperature", "validation_loss"):
        np.testing.assert_allclose(log[column], finished.log[column], rtol=1e-3)


def test_two_processes_follow_the_curve_of_one(run, encoder, tmp_path):
    text = {"trained": True}  # with dropout, then
    script = tmp_path / "launched.py"
    script.write_text(
        LAUNCHED.format(
            tests=str(Path(__file__).parent),
            root=str(Path(__file__).parents[1]),
            folder=str(tmp_path),
            encoder=str(encoder),
            training=TWO,
            text=text,
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    launcher = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    launched = [
        subprocess.Popen(
            [sys.executable, str(script)],
            env={**os.environ, **launcher, "RANK": rank, "LOCAL_RANK": rank},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    try:
        errors = [process.communicate(timeout=120)[1] for process in launched]
    finally:
        for process in launched:
            process.kill()
    assert [process.returncode for process in launched] == [0, 0], errors
    two = checkpoint.read_log(tmp_path / "run", ("step", "epoch"))
    config = tiny_clap_config(encoder, training=TWO, text_encoder=text)
    one = run(config, tmp_path / "one").log
    assert len(two) == len(one) == 7
    for column in COLUMNS:
        np.testing.assert_allclose(two[column], one[column], rtol=1e-4, atol=1e-6)
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


# a killed run


KILLS = {
    "the log written, the state not": (checkpoint, "save_file", 1),
    "between two saves": (Trainer, "_update", 5, True),
    "at the end, the model not in place": (TrainedCLAP, "save", 1),
    "at the end, the state not saved": (checkpoint, "save_file", 6),
}


@pytest.mark.parametrize("when", KILLS)
def test_a_killed_run_resumes_to_the_same_bytes(when, run, config, tmp_path, finished):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, *KILLS[when])
        run(config, tmp_path / "run")
    resumed = run(config, tmp_path / "run")
    assert contents(resumed.folder) == contents(finished.folder)
    pd.testing.assert_frame_equal(resumed.log, finished.log, check_exact=True)


def test_a_run_with_dropout_and_a_trained_text_encoder_resumes_to_the_same_bytes(
    run, encoder, tmp_path
):
    config = tiny_clap_config(
        encoder,
        text_encoder={"trained": True},  # BERT's own dropout is 0.1
        training={"micro_batch": 2, "epochs": 1, "warmup_epochs": 0},
    )
    whole = run(config, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        kill_at(patch, Trainer, "_update", 3)
        run(config, tmp_path / "run")
    resumed = run(config, tmp_path / "run")
    assert contents(resumed.folder) == contents(whole.folder)


def test_a_finished_run_is_left_alone(run, config, tmp_path, finished, monkeypatch):
    shutil.copytree(finished.folder, tmp_path / "run")
    monkeypatch.setattr("drcap.clap.train.CLAPModel", None)  # none is even built
    for name in ("_update", "_validate", "_save"):
        kill_at(monkeypatch, Trainer, name, 1)
    again = run(config, tmp_path / "run")
    assert contents(again.folder) == contents(finished.folder)
    pd.testing.assert_frame_equal(again.log, finished.log)


# another model's weights


def test_a_run_may_start_from_another_models_weights(run, config, tmp_path, finished):
    config = with_training(config, epochs=1, warmup_epochs=0)
    log = run(config, tmp_path, initial=finished.model).log
    start, end = log.iloc[0], finished.log.iloc[-1]
    for measure in (*MEASURES, "temperature"):
        assert start[measure] == pytest.approx(end[measure], abs=1e-5)


def test_a_run_started_from_other_weights_is_another_run(
    run, config, tmp_path, finished
):
    shutil.copytree(finished.folder, tmp_path / "run")
    with pytest.raises(ConfigError, match="another initial"):
        run(config, tmp_path / "run", initial=finished.model)


# mistakes


def test_clips_that_cannot_be_read_are_named_and_the_rest_is_trained_on(
    run, config, clips, tmp_path, capsys
):
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"not audio")
    mixed = [
        *clips[:11],
        replace(clips[11], path=damaged),
        replace(clips[12], path=None),
    ]
    log = run(config, tmp_path / "run", clips=mixed).log
    messages = capsys.readouterr().err
    assert messages.count(f"left out: {damaged}") == 1
    assert "toy clip 12 has no audio here" in messages
    assert log.loss[1:].notna().all() and len(log) == 10


def test_no_clips_or_none_with_audio_is_an_error(run, config, clips, tmp_path):
    with pytest.raises(DatasetError, match="none of 0 clips has audio and captions"):
        run(config, tmp_path / "run", clips=[])
    without = [replace(clip, path=None) for clip in clips]
    with pytest.raises(DatasetError, match="none of 13 clips has audio and captions"):
        run(config, tmp_path / "run", clips=without)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("cache", [True, False])
def test_no_readable_clip_is_an_error(run, config, clips, tmp_path, cache):
    nowhere = [replace(clip, path=tmp_path / f"{clip.clip_id}.wav") for clip in clips]
    with pytest.raises(DatasetError, match="none can be read"):
        changed = with_training(config, cache_log_mels=cache)
        run(changed, tmp_path / "run", clips=nowhere)
    assert not (tmp_path / "run").exists()


def test_validation_clips_that_cannot_be_read_are_left_out(held_out, tmp_path, capsys):
    nowhere = replace(held_out[0], path=tmp_path / "nowhere.wav")
    assert list(readable([nowhere, *held_out])) == list(held_out)
    assert "left out" in capsys.readouterr().err
    with pytest.raises(DatasetError, match="no clip can be read"):
        Validation(None, [nowhere])


def test_a_batch_beyond_the_clips_is_refused(run, config, tmp_path):
    with pytest.raises(ConfigError, match="batch_size: 14 is more than the 13 train"):
        run(with_training(config, batch_size=14), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_another_run_is_refused_and_kept(run, config, clips, finished):
    before = contents(finished.folder)
    with pytest.raises(ConfigError, match=f"{finished.folder}: holds a run of another"):
        run(with_training(config, epochs=4), finished.folder)
    with pytest.raises(ConfigError, match="another clips"):
        run(config, finished.folder, clips=clips[1:])
    assert contents(finished.folder) == before


def test_weights_of_another_architecture_are_refused(run, config, tmp_path, finished):
    wider = override(config, {"dim": 24})
    with pytest.raises(CheckpointError, match="cannot be loaded .*size mismatch"):
        run(wider, tmp_path / "run", initial=finished.model)


# where a run is found, and a model without training


def test_a_run_folder_belongs_to_all_that_the_run_reads(config, clips, finished):
    def folder(*key):
        return cache.run_folder("clap-test", run_key(*key))

    one = folder(config, clips)
    assert one == folder(config, clips) and one.name.startswith("clap-test-")
    assert one != folder(replace(config, dim=8), clips)
    assert one != folder(config, clips[:-1])
    assert one != folder(config, clips, finished.model)


def test_an_untrained_model_keeps_the_statistics_and_draws_its_weights(config):
    trained = TrainedCLAP(CLAPModel(config))
    mean = torch.arange(float(config.front_end.mels))
    trained.model.normalisation.running_mean.copy_(mean)
    one, same, other = (untrained_clap(trained, seed) for seed in (1, 1, 2))
    torch.testing.assert_close(one.model.normalisation.running_mean, mean)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.fingerprint != trained.fingerprint
