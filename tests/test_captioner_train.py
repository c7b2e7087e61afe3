import json
import multiprocessing
import shutil
from pathlib import Path

import launched_captioner
import numpy as np
import pandas as pd
import pytest
import torch
from doubles import ToyCLAP
from doubles_kill import Killed, kill_at
from launched_captioner import BAND, CAPTIONS, captions_of, launched, run, toy_config
from safetensors.torch import load_file

from drcap import checkpoint
from drcap.captioner import train as module
from drcap.captioner.data import Batch, TextOnlyExamples, hold_out
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import Prompt
from drcap.captioner.train import (
    Trainer,
    finished,
    learning_rate,
    seed_dropout,
    shares,
)
from drcap.config import TrainingConfig, override
from drcap.errors import ConfigError
from drcap.processes import Processes
from drcap.retrieval import CaptionDatastore

NO_DROPOUT = {"captioner": {"lora_dropout": 0.0}}
PARTS = {"training": {"micro_batch": 2}}  # 2, 2 and 1 of a batch of five
ANOTHER_RUN = "holds a run of another configuration"


def contents(folder):
    """Return the bytes of a run's files; what a kill left half-written is hidden."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".writing-" not in str(path)
    }


def assert_same_curve(log, expected):
    assert log.step.tolist() == expected.step.tolist()
    for column in ("train_loss", "validation_loss", "learning_rate"):
        np.testing.assert_allclose(log[column], expected[column], atol=1e-5, rtol=0)


@pytest.fixture(scope="module")
def plain(language_model, tmp_path_factory):
    """The run of toy_config, never interrupted."""
    return run(toy_config(language_model), tmp_path_factory.mktemp("runs") / "run")


@pytest.fixture(scope="module")
def in_parts(language_model, tmp_path_factory):
    """The run of toy_config in micro-batches of two, with dropout."""
    config = override(toy_config(language_model), PARTS)
    return run(config, tmp_path_factory.mktemp("runs") / "parts")


# the schedule


@pytest.mark.parametrize(
    ("warmup", "steps", "expected"),
    [
        (4, 10, [1 / 4, 2 / 4, 3 / 4, 4 / 4, 6 / 6, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        (0, 4, [1, 0.75, 0.5, 0.25]),
        (4, 4, [0.25, 0.5, 0.75, 1]),
    ],
)
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(warmup, steps, expected):
    config = TrainingConfig(steps=steps, warmup_steps=warmup, peak_learning_rate=1.0)
    rates = [learning_rate(step, config) for step in range(steps)]
    assert rates == pytest.approx(expected)


# a run


def test_a_run_logs_each_step_and_learns_its_captions(plain, language_model):
    log, config = plain.log, toy_config(language_model).training
    assert log.step.tolist() == list(range(1, 14))
    assert log.learning_rate.tolist() == [learning_rate(s, config) for s in range(13)]
    validated = log.step[log.validation_loss.notna()]
    assert validated.tolist() == [4, 8, 12, 13]
    assert log.train_loss[-3:].mean() < log.train_loss[:3].mean() - 0.5


def test_a_run_holds_only_what_it_needs(plain):
    assert contents(plain.folder).keys() == {
        *("config.json", "log.csv", "state.safetensors", "best/mapper.safetensors"),
        *("best/adapter/adapter_config.json", "best/adapter/adapter_model.safetensors"),
    }


def test_the_lowest_validation_loss_is_kept(language_model, tmp_path, monkeypatch):
    mappers, validate = [], Trainer._validate

    def watched(trainer):
        validate(trainer)
        mappers.append(trainer.captioner.mapper.weight.clone())

    monkeypatch.setattr(Trainer, "_validate", watched)
    schedule = {"steps": 24, "validate_every": 4, "peak_learning_rate": 0.3}
    config = toy_config(language_model, **schedule)
    for stop in (10, 14, 18, 22, None):  # a resumed run knows the lowest so far
        result = run(config, tmp_path, stop_after=stop)
    losses = result.log.validation_loss.dropna().to_numpy()
    assert 0 < losses.argmin() < len(losses) - 1  # this run got worse in the end
    kept = load_file(result.best / "mapper.safetensors")["weight"]
    torch.testing.assert_close(kept, mappers[losses.argmin()], atol=0, rtol=0)


def test_the_validation_loss_is_the_mean_over_the_held_out_captions(
    language_model, plain
):
    config = toy_config(language_model)
    best = Captioner.load(plain.best, 32, config.captioner, torch.float32)
    _, held_out = hold_out(CAPTIONS, 10, seed=0)
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    examples = TextOnlyExamples(held_out, datastore, best.prompts, BAND, held_out)
    batch = examples.batch(range(10), examples.similar(range(10), seed=0))
    loss = best.loss(*batch).item()
    assert loss == pytest.approx(plain.log.validation_loss.min(), abs=1e-5)


def test_another_seed_is_another_run(language_model, tmp_path, plain):
    other = run(toy_config(language_model, seed=1), tmp_path, stop_after=1)
    assert other.log.train_loss[0] != plain.log.train_loss[0]


def test_a_run_goes_on_in_smaller_parts_along_the_same_curve(language_model, tmp_path):
    config = override(toy_config(language_model), NO_DROPOUT)
    whole = run(config, tmp_path / "whole")
    stopped = run(config, tmp_path / "parts", stop_after=6)
    changes = {"micro_batch": 2, "gradient_checkpointing": True}
    smaller = override(
        config, {"training": changes, "captioner": {"attention": "sdpa"}}
    )
    parts = run(smaller, stopped.folder)
    assert parts.log.train_loss[:6].tolist() == whole.log.train_loss[:6].tolist()
    assert_same_curve(parts.log, whole.log)


# a run that is killed, stopped or finished


KILLS = [  # one at each place where a run writes; the step that the run resumes from
    ("before the first save", Trainer, "_save", 1, False, 0),
    ("the log written and the state not", checkpoint, "save_file", 1, False, 0),
    ("before the first best is written", Captioner, "save", 1, False, 3),
    ("the first best written, not in place", Captioner, "save", 1, True, 3),
    ("the first best in place, the state not saved", Trainer, "_validate", 1, True, 3),
    ("a later log written and the state not", checkpoint, "save_file", 2, False, 4),
    ("the old best gone, the new not in place", Path, "rename", 2, False, 6),
    ("in the second epoch", Trainer, "_update", 6, False, 9),
    ("before the last save", Trainer, "_save", 2, False, 12),
]


def test_a_run_killed_at_every_write_ends_with_the_same_bytes(
    language_model, tmp_path, plain
):
    config, folder = toy_config(language_model), tmp_path / "run"
    for when, owner, name, call, after, step in KILLS:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
            kill_at(patch, owner, name, call, after)
            run(config, folder)
        assert checkpoint.saved_step(folder) == step, when
    resumed = run(config, folder)
    assert contents(folder) == contents(plain.folder)
    pd.testing.assert_frame_equal(resumed.log, plain.log, check_exact=True)


def test_a_stopped_run_goes_on_to_the_same_bytes(language_model, tmp_path, plain):
    config = toy_config(language_model)
    for stop in (1, 8, 10):
        assert len(run(config, tmp_path / "run", stop_after=stop).log) == stop
    run(config, tmp_path / "run")
    assert contents(tmp_path / "run") == contents(plain.folder)


def test_a_finished_run_is_left_alone_and_loads_no_model(
    language_model, tmp_path, plain, monkeypatch
):
    config, folder = toy_config(language_model), tmp_path / "run"
    shutil.copytree(plain.folder, folder)
    kill_at(monkeypatch, Captioner, "create", 1)
    again = run(config, folder)
    assert again.best == folder / "best" and contents(folder) == contents(plain.folder)
    pd.testing.assert_frame_equal(again.log, plain.log)
    shutil.rmtree(folder / "best")
    with pytest.raises(Killed):  # without its result the run is not finished
        run(config, folder)


# mistakes


def test_a_folder_with_another_run_is_refused_and_kept(language_model, plain):
    config, before = toy_config(language_model), contents(plain.folder)
    longer = override(config, {"training": {"steps": 14}})
    quantised = override(config, {"captioner": {"quantisation": "nf4"}})
    for other in (longer, quantised, toy_config(language_model, seed=1)):
        with pytest.raises(ConfigError, match=f"{plain.folder}: {ANOTHER_RUN}"):
            run(other, plain.folder)
    assert contents(plain.folder) == before
    assert finished(override(config, PARTS), plain.folder)


def test_a_batch_beyond_the_captions_is_refused_and_the_folder_left_free(
    language_model, tmp_path
):
    with pytest.raises(ConfigError, match="batch_size: 54 is more than the 53 train"):
        run(toy_config(language_model, batch_size=54), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# the parts of a batch


def process(count=1, index=0):
    processes = Processes("cpu")
    processes.count, processes.index = count, index
    return processes


@pytest.fixture
def batch():
    targets = [[1] * length for length in (2, 3, 4, 5, 6)]
    prompts = [Prompt([row], 0) for row in range(5)]
    return Batch(torch.arange(5.0)[:, None], prompts, targets)


def test_one_process_without_micro_batches_has_the_batch_as_it_is(batch):
    [(first, part, weight)] = shares(batch, None, process())
    assert part.targets == batch.targets
    assert (first, weight) == (0, 1.0)


@pytest.mark.parametrize("rows", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_row_is_in_one_weighted_part_and_all_have_equally_many(
    batch, rows, count
):
    parts = [shares(batch, rows, process(count, index)) for index in range(count)]
    assert len(set(map(len, parts))) == 1
    weighted = [part for own in parts for part in own if part[2]]
    assert sum(weight for _, _, weight in weighted) == pytest.approx(1)
    ids = [prompt.ids for _, part, _ in weighted for prompt in part.prompts]
    assert sorted(ids) == [[0], [1], [2], [3], [4]]
    for first, part, weight in weighted:
        assert weight == pytest.approx(len(part.targets) / 5)
        assert part.embeddings[0, 0] == first


def test_a_part_draws_the_same_dropout_in_any_process():
    def draw(*place):
        seed_dropout(*place)
        return torch.rand(3).tolist()

    assert draw(0, 7, 2) == draw(0, 7, 2)
    places = [(0, 7, 0), (0, 7, 2), (0, 7, 4), (0, 8, 2), (1, 7, 2)]
    assert len({tuple(draw(*place)) for place in places}) == len(places)
    torch.manual_seed(3 * 1_000_003 + 5)  # the first part draws as a whole batch
    assert torch.rand(3).tolist() == draw(3, 5, 0)


# several processes


def test_more_processes_than_rows_are_refused(language_model, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "Processes", lambda device: process(6))
    message = "batch_size: 5 cannot be shared by 6 processes; launch 5 or fewer"
    with pytest.raises(ConfigError, match=message):
        run(toy_config(language_model), tmp_path / "run")


@pytest.fixture
def launch(language_model, monkeypatch):
    """Run `launched` in two processes; return their reports."""
    tests = str(Path(launched_captioner.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", tests)  # of the server that starts them
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["launched_captioner"])  # imported once for all

    def launch(folder, changes, stop_after=None):
        port = launched_captioner.free_port()
        settings = (port, str(folder), language_model, changes, stop_after)
        processes = [
            context.Process(target=launched, args=(index, *settings))
            for index in range(2)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
        assert [process.exitcode for process in processes] == [0, 0]
        paths = [Path(f"{folder}-{index}.json") for index in range(2)]
        return [json.loads(path.read_text()) for path in paths]

    return launch


def test_two_processes_train_and_caption_as_one_does(language_model, launch, tmp_path):
    config = override(toy_config(language_model), NO_DROPOUT)
    one = run(config, tmp_path / "one")
    reports = launch(tmp_path / "two", NO_DROPOUT)
    assert_same_curve(checkpoint.read_log(tmp_path / "two"), one.log)
    captions = captions_of(one, config)
    assert len(set(captions)) > 3
    assert [report["captions"] for report in reports] == [captions, captions]
    assert reports[0]["log"] == reports[1]["log"]
    assert contents(tmp_path / "two").keys() == contents(one.folder).keys()
    for name in ("best/mapper.safetensors", "best/adapter/adapter_model.safetensors"):
        two, expected = (load_file(d / name) for d in (tmp_path / "two", one.folder))
        for key, tensor in expected.items():
            np.testing.assert_allclose(two[key], tensor, atol=1e-4, rtol=0)


def test_a_run_goes_on_with_another_number_of_processes(
    language_model, launch, tmp_path, in_parts
):
    config = override(toy_config(language_model), PARTS)
    run(config, tmp_path / "run", stop_after=3)
    launch(tmp_path / "run", PARTS, stop_after=9)
    assert len(checkpoint.read_log(tmp_path / "run")) == 9
    assert_same_curve(run(config, tmp_path / "run").log, in_parts.log)
