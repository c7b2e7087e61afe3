"""The tables of real recordings: each system trained on captions alone, once."""

import json

import pandas as pd
import pytest
from doubles import TOY_CAPTIONS
from doubles_cli import FakeDRCap
from doubles_experiments import clips_of
from doubles_systems import toy_config, toy_events, toy_space

from drcap.data.clip import Subset
from drcap.evaluation import engine, metrics
from drcap.experiments.grid import ROWS, SUPERVISED
from drcap.systems import drcap
from drcap.systems.base import ClipBatch
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
    monkeypatch.setattr(drcap.DRCap, "from_pretrained", FakeDRCap().from_pretrained)
    monkeypatch.setattr(engine, "ptb_tokenise", lambda texts: [*map(str.lower, texts)])
    quick = {name: metrics.METRICS[name] for name in ("cider_d", "rouge_l")}
    monkeypatch.setattr(metrics, "METRICS", quick)
    real.ablations(tmp_path, "val", name="mine", reports=tmp_path)
    table = pd.read_csv(tmp_path / "real/audiocaps_val_mine.csv")
    assert [*table.system] == [real.HUMAN, *real.SWITCHES, real.FLOOR]
    assert table[real.SHARE][0] == 1
    record = json.loads((tmp_path / "real/audiocaps_val_mine_run.json").read_text())
    assert record["development"] == real.DEVELOPMENT and record["clips"] == 3


def test_people_are_scored_one_against_the_others(monkeypatch):
    monkeypatch.setattr(engine, "ptb_tokenise", lambda texts: [*map(str.lower, texts)])
    quick = {name: metrics.METRICS[name] for name in ("rouge_l",)}
    monkeypatch.setattr(metrics, "METRICS", quick)
    references = [["a dog barks", "a dog barks", "rain"], ["wind", "wind", "wind"]]
    scores = real.scores_beside_people({"ours": ["rain", "wind"]}, references)
    people = scores[real.HUMAN]
    assert people.per_clip["rouge_l"] == pytest.approx([2 / 3, 1])
    assert people.corpus["rouge_l"] == pytest.approx(5 / 6)
    assert scores["ours"].per_clip["rouge_l"] == pytest.approx([1, 1])


def test_the_recipe_gives_every_captioner_as_many_steps():
    config = real.recipe(steps=70, seed=3)
    assert config.captioner.training.steps == config.steps_on_cl == 70
    assert config.captioner.seed == 3
