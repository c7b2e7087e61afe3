"""Training and captioning shared by processes, as one process does them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from launched_captioner import captions_of
from safetensors.torch import load_file
from test_training import contents, run, toy_config

from drcap.config import override
from drcap.runs import run_folder

NO_DROPOUT = {"captioner": {"lora_dropout": 0.0}}
PARTS = {"training": {"micro_batch": 2}}  # 2, 2 and 1 of a batch of five
COLUMNS = ("train_loss", "validation_loss", "learning_rate")


@pytest.fixture
def launch(language_model, tmp_path):
    """Run launched_captioner.py in so many processes; return what each told."""

    def launch(folder, changes, count=2, stop_after=0, mode="--multi_gpu"):
        command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
        command += [mode, "--num_processes", str(count), "--num_machines", "1"]
        command += ["--mixed_precision", "no", "--dynamo_backend", "no"]
        command += ["--main_process_port", "0"]
        command += [str(Path(__file__).with_name("launched_captioner.py"))]
        command += [str(folder), language_model, json.dumps(changes), str(stop_after)]
        told = subprocess.run(command, capture_output=True, text=True, timeout=240)
        assert told.returncode == 0, told.stderr
        paths = [Path(f"{folder}-{n}-of-{count}.json") for n in range(count)]
        return [json.loads(path.read_text()) for path in paths]

    return launch


def alone(language_model, changes, folder):
    config = override(toy_config(language_model), changes)
    return config, run(config, folder)


def assert_same_curve(folder, one):
    two = run_folder.read_log(folder)
    assert len(two) == len(one.log) == 13
    for column in COLUMNS:
        np.testing.assert_allclose(two[column], one.log[column], atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "changes", [NO_DROPOUT, PARTS], ids=["a share each", "micro-batches, dropout"]
)
def test_two_processes_follow_the_curve_of_one_and_caption_alike(
    changes, language_model, launch, tmp_path
):
    config, one = alone(language_model, changes, tmp_path / "one")
    told = launch(tmp_path / "two", changes)
    assert_same_curve(tmp_path / "two", one)
    captions = captions_of(one, config)
    assert len(set(captions)) > 3
    assert [each["captions"] for each in told] == [captions, captions]
    assert told[0]["log"] == told[1]["log"]


def test_the_first_process_writes_what_one_process_does(
    language_model, launch, tmp_path
):
    _, one = alone(language_model, PARTS, tmp_path / "one")
    launch(tmp_path / "two", PARTS)
    assert contents(tmp_path / "two").keys() == contents(one.folder).keys()
    for name in ("best/mapper.safetensors", "best/adapter/adapter_model.safetensors"):
        found, expected = (load_file(d / name) for d in (tmp_path / "two", one.folder))
        for key, tensor in expected.items():
            np.testing.assert_allclose(found[key], tensor, atol=1e-4, rtol=0)


def test_a_run_goes_on_with_another_number_of_processes(
    language_model, launch, tmp_path
):
    config, one = alone(language_model, PARTS, tmp_path / "one")
    run(config, tmp_path / "run", stop_after=4)
    launch(tmp_path / "run", PARTS, count=2, stop_after=9)
    assert len(run_folder.read_log(tmp_path / "run")) == 9
    run(config, tmp_path / "run")
    assert_same_curve(tmp_path / "run", one)


def test_a_sharded_language_model_follows_the_same_curve(
    language_model, launch, tmp_path
):
    changes = override_both(PARTS, {"gradient_checkpointing": True})
    _, one = alone(language_model, PARTS, tmp_path / "one")
    told = launch(tmp_path / "two", changes, mode="--use_fsdp")
    assert all(each["sharded"] for each in told)
    assert_same_curve(tmp_path / "two", one)
    assert contents(tmp_path / "two").keys() == contents(one.folder).keys()


def override_both(changes, training):
    return {**changes, "training": {**changes["training"], **training}}


def test_more_processes_than_rows_are_refused(language_model, launch, tmp_path):
    changes = {"training": {"batch_size": 1}}
    with pytest.raises(AssertionError, match="1 cannot be shared by 2 processes"):
        launch(tmp_path / "run", changes)
