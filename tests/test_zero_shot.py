"""Every zero-shot system is trained on captions alone and captions every clip."""

import pytest
from doubles import TOY_CAPTIONS
from doubles_baselines import toy_config, toy_events, toy_space
from doubles_experiments import clips_of

from drcap.baselines.sound_events import SoundEvents
from drcap.experiments.grid import ROWS, SUPERVISED
from workflow import zero_shot


@pytest.fixture
def setting(tmp_path, language_model, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(SoundEvents, "names", toy_events(toy_space()).names)
    clips = tuple(clips_of(tmp_path / "clips", "ac", "val", 3))
    return toy_space(), clips, toy_config(language_model), tmp_path / "runs"


def test_each_system_captions_each_clip_and_is_trained_once(setting):
    space, clips, config, runs = setting
    said = zero_shot.captioned(space, TOY_CAPTIONS, clips, config, runs)
    assert {*said} <= {*ROWS} - {*SUPERVISED}
    assert all(len(captions) == len(clips) for captions in said.values())
    made = {path: path.stat().st_mtime_ns for path in runs.rglob("*.safetensors")}
    assert made
    again = zero_shot.captioned(space, TOY_CAPTIONS, clips, config, runs)
    assert again == said
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_the_recipe_gives_every_captioner_as_many_steps():
    config = zero_shot.recipe(steps=70, seed=3)
    assert config.captioner.training.steps == config.steps_on_cl == 70
    assert config.captioner.seed == 3
