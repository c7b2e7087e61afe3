"""`drcap train` and `drcap experiment`, with tiny models."""

import json
import re
from types import SimpleNamespace

import pytest
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_clap import tiny_clap_config, tiny_text_encoder, write_clips
from doubles_experiments import ToyMaterials

from drcap import config as configs
from drcap import load, paths
from drcap.config import Config, SoundscapesConfig, override, profile
from drcap.data import corpora
from drcap.evaluation import metrics
from drcap.experiments import materials, run
from drcap.experiments.grid import named
from drcap.experiments.results import read_facts
from drcap.systems.drcap import SHIPPED

TRAINED = "common_caption_cl_to_cl_seed_0"


@pytest.fixture
def captioner(drcap, home, language_model, tmp_path, monkeypatch):
    """`drcap train captioner` with tiny models, on sixty captions."""
    changes = {
        "captioner": {"language_model": language_model, "language_model_blocks": 1},
        "training": {"dtype": "float32"},
        "retrieval": {"sim_min": 0.3, "sim_max": 0.8},
    }
    smoke = override(profile("smoke"), changes)
    monkeypatch.setattr(configs, "profile", {"smoke": smoke}.get)
    monkeypatch.setattr(load, "load_clap", lambda *_: ToyCLAP())
    (tmp_path / "captions.txt").write_text("\n".join(TOY_CAPTIONS))
    given = ["train", "captioner", "--profile", "smoke", "--device", "cpu"]
    given += ["--captions", tmp_path / "captions.txt"]
    return lambda *options: drcap(*given, *options)


def test_a_captioner_is_trained_and_saved(captioner, home, tmp_path):
    code, out, err = captioner("--save", tmp_path / "model")
    assert code == 0, err
    assert "4 steps, validation loss" in out
    [folder] = (home / "runs").glob("captioner-smoke-seed-0-*")
    assert (folder / "best/mapper.safetensors").exists()
    record = json.loads((folder / "run.json").read_text())
    assert record["processes"] == 1
    assert record["steps_done"] == 4 and len(record["inputs"]) == 2
    saved = {path.name for path in (tmp_path / "model").iterdir()}
    assert saved >= {"config.json", "mapper.safetensors", "log.csv", "run.json"}
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert Config.from_dict(config).training.steps == 4


def test_settings_change_the_profile_and_a_stopped_run_goes_on(captioner, tmp_path):
    options = ["--output", tmp_path / "run", "--set", "training.steps=12"]
    options += ["--set", "training.warmup_steps = 6", "--set", "training.micro_batch=1"]
    options += ["--set", "captioner.attention=sdpa"]
    code, out, err = captioner(*options, "--stop-after", "1")
    assert code == 0, err
    assert "1 steps, validation loss not measured yet" in out
    assert captioner(*options)[0] == 0
    config = json.loads((tmp_path / "run/config.json").read_text())
    training = config["training"]
    assert (training["steps"], training["warmup_steps"]) == (12, 6)
    assert training["micro_batch"] == 1 and config["captioner"]["attention"] == "sdpa"
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["steps_done"] == 12


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("training.steps", "--set training.steps: expected KEY=VALUE"),
        ("training.stepz=3", "training.stepz: unknown key"),
        ("training.steps=few", "training.steps must be a valid integer"),
    ],
)
def test_a_wrong_setting_is_one_line(captioner, setting, message):
    code, out, err = captioner("--set", setting)
    assert (code, out) == (2, "") and err.startswith("drcap: ") and message in err
    assert err.count("\n") == 1


def test_the_shipped_captioner_is_trained_again_from_its_own_configuration():
    readme = (paths.REPOSITORY / "README.md").read_text()
    [config] = re.findall(r"train captioner --config ([^`\s]+)", readme)
    assert paths.REPOSITORY / config == SHIPPED / "config.json"
    shipped = Config.from_dict(json.loads((SHIPPED / "config.json").read_text()))
    assert shipped.training.steps == 4_000 and shipped.seed == 0


@pytest.fixture
def clap(drcap, home, tmp_path, monkeypatch):
    """`drcap train clap` with a tiny model; its corpora are a few recordings."""
    config = tiny_clap_config(tiny_text_encoder(tmp_path / "text"))
    clips = write_clips(tmp_path / "clips", 13)
    data = SimpleNamespace(
        config=SoundscapesConfig(), pairs=clips[:8], clips=lambda *_: clips[8:]
    )
    monkeypatch.setattr(configs, "clap_profile", {"demo": config}.get)
    monkeypatch.setattr(corpora, "corpora", lambda profile, folder: data)
    return lambda *options: drcap("train", "clap", "--device", "cpu", *options)


def test_a_clap_model_is_trained_into_the_runs_folder(clap, home, tmp_path):
    code, out, err = clap()
    assert code == 0, err
    [folder] = (home / "runs").glob("clap-demo-seed-0-*")
    assert f"{folder / 'model'}: 6 steps, loss" in out
    assert (folder / "model/model.safetensors").exists()
    first = (folder / "run.json").read_bytes()
    record = json.loads(first)
    assert record["seed"] == 0 and record["packages"]["torch"]
    assert record["config"]["dim"] == 16
    assert clap()[0] == 0
    assert (folder / "run.json").read_bytes() == first  # the run was finished
    options = ["--output", tmp_path / "second", "--initial", folder / "model"]
    assert clap("--seed", 1, "--corpora", tmp_path, *options)[0] == 0
    assert (tmp_path / "second/model/model.safetensors").exists()


@pytest.fixture
def grid(home, tmp_path, language_model, monkeypatch):
    toy = ToyMaterials(tmp_path / "clips", language_model)
    monkeypatch.setattr(materials, "Materials", lambda profile: toy)
    quick = {name: metrics.METRICS[name] for name in ("vocab",)}
    monkeypatch.setattr(metrics, "METRICS", quick)
    return toy


def test_a_system_is_trained_and_saved_by_its_name(grid, drcap, tmp_path):
    code, out, err = drcap("train", "common_caption", "--save", tmp_path / "common")
    assert code == 0, err
    assert out == f"{tmp_path / 'common'}: trained, profile demo\n"
    assert json.loads((tmp_path / "common/caption.json").read_text())["caption"]
    code, _, err = drcap("train", "wsac", "--ablation", "w/o SS")
    assert code == 2 and "wsac: has no ablation 'w/o SS'" in err


def test_experiments_are_captioned_and_scored_once(grid, drcap, tmp_path):
    names = ["common_caption_ac_to_cl_seed_0", "nearest_caption_ac_to_ac_seed_0"]
    given = ["experiment", *names, "--profile", "smoke", "--reports", tmp_path]
    code, out, err = drcap(*given, "--captions-only", "--train", TRAINED)
    assert (code, out) == (0, ""), err
    captions = [run.captions_file(named(name), "smoke") for name in names]
    assert {*captions[0].parent.iterdir()} == {*captions}
    before = [path.stat().st_mtime_ns for path in captions]
    code, out, err = drcap(*given)
    assert code == 0, err
    assert [line.split(":")[0] for line in out.splitlines()] == names
    assert {*read_facts(tmp_path / "smoke")} == {*names}
    assert before == [path.stat().st_mtime_ns for path in captions]
    code, _, err = drcap("experiment", "drcap_ac_to_xy_seed_0")
    assert code == 2 and "unknown 'drcap_ac_to_xy_seed_0'" in err
