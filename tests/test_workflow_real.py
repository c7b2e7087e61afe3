"""The tables of real recordings: each system trained on captions alone, once."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_cli import FakeDRCap
from doubles_experiments import clips_of
from doubles_systems import toy_config, toy_events, toy_space

from drcap.clap import bridge
from drcap.config import Config
from drcap.data.clip import Subset
from drcap.errors import ConfigError
from drcap.evaluation import engine, metrics
from drcap.experiments.grid import ROWS, SUPERVISED
from drcap.retrieval import CaptionDatastore, default
from drcap.systems import drcap
from drcap.systems.base import ClipBatch
from drcap.systems.drcap import DRCap
from drcap.systems.zeraucap import SoundEvents
from workflow import real


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))


def test_each_system_captions_each_clip_and_is_trained_once(
    home, tmp_path, language_model, monkeypatch
):
    monkeypatch.setattr(SoundEvents, "names", toy_events(toy_space()).names)
    clips = tuple(clips_of(tmp_path / "clips", "ac", "val", 3))
    batch, runs = ClipBatch(clips, TOY_CAPTIONS), tmp_path / "runs"
    given = (toy_space(), batch, toy_config(language_model), runs)
    candidates = real.captioned(*given)
    assert {*candidates} <= {*ROWS} - {*SUPERVISED}
    assert all(len(captions) == len(clips) for captions in candidates.values())
    made = {path: path.stat().st_mtime_ns for path in runs.rglob("*.safetensors")}
    assert made
    assert real.captioned(*given) == candidates
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_the_ablations_stand_beside_the_first_retrieved_caption(
    home, tmp_path, monkeypatch
):
    clips = tuple(clips_of(tmp_path / "clips", "ac", "val", 3))
    monkeypatch.setattr(real, "read_audiocaps", lambda *_: Subset(clips))
    fake = FakeDRCap()
    fake.embed = lambda path: ToyCLAP().encode_text([Path(path).stem])[0]
    monkeypatch.setattr(drcap.DRCap, "from_pretrained", fake.from_pretrained)
    monkeypatch.setattr(engine, "ptb_tokenise", lambda texts: [*map(str.lower, texts)])
    quick = {name: metrics.METRICS[name] for name in ("cider_d", "rouge_l")}
    monkeypatch.setattr(metrics, "METRICS", quick)
    anew = [f"DRCap w/o SS={tmp_path}"]
    real.ablations(tmp_path, "val", trained=anew, name="mine", reports=tmp_path)
    table = pd.read_csv(tmp_path / "real/audiocaps_val_mine.csv")
    systems = [*real.SWITCHES, "DRCap w/o SS, trained anew", real.FLOOR]
    assert [*table.system] == [real.HUMAN, *systems]
    assert table[real.SHARE][0] == 1
    clips_made = pd.read_csv(tmp_path / "real/audiocaps_val_mine_clips.csv")
    assert [*clips_made.clip_id] == [clip.clip_id for clip in clips]
    mean = clips_made["DRCap: CIDEr-D"].mean()
    assert mean == pytest.approx(table.cider_d[1], abs=1e-6)
    gap = pd.read_csv(tmp_path / "real/audiocaps_val_mine_gap.csv")
    assert [*gap.bridge] == ["shipped"] and gap.distance[0] > 0
    record = json.loads((tmp_path / "real/audiocaps_val_mine_run.json").read_text())
    assert record["development"] == real.DEVELOPMENT and record["clips"] == 3


def test_another_fit_of_the_bridge_needs_the_same_text_space(monkeypatch):
    captioner = DRCap(ToyCLAP(), config=Config())
    captioner.clap.text_mean = torch.zeros(2)
    fits = {"same": torch.zeros(2), "other": torch.ones(2)}

    class Fit(ToyCLAP):
        def __init__(self, file):
            self.text_mean = fits[file]
            self.fingerprint = file

    own = CaptionDatastore.build(TOY_CAPTIONS, captioner.clap)
    monkeypatch.setattr(bridge, "CaptionBridge", Fit)
    monkeypatch.setattr(default, "default_datastore", lambda clap: own)
    other = real.with_bridge(captioner, "same")
    assert other.clap.fingerprint == other.datastore.encoder == "same"
    assert other.datastore is other.support
    assert other.datastore.embeddings is own.embeddings
    with pytest.raises(ConfigError, match="other: fitted to other captions"):
        real.with_bridge(captioner, "other")


def test_other_models_are_named_and_there(tmp_path):
    assert real.named_paths(None, "--trained") == {}
    given = [f"DRCap w/o SS={tmp_path}"]
    assert real.named_paths(given, "--trained") == {"DRCap w/o SS": tmp_path}
    for wrong in ("no path", f"={tmp_path}", f"gone={tmp_path}/gone"):
        with pytest.raises(ConfigError, match="--trained .*expected NAME=PATH"):
            real.named_paths([wrong], "--trained")


def test_the_recipe_gives_every_captioner_as_many_steps():
    config = real.recipe(steps=70, seed=3)
    assert config.captioner.training.steps == config.steps_on_cl == 70
    assert config.captioner.seed == 3
