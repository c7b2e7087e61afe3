"""Every system fits, captions, and captions the same after it was saved and loaded."""

import shutil

import pytest
from doubles_baselines import toy_config, toy_events, toy_space, toy_train_set
from doubles_experiments import clips_of

from drcap.baselines import BASELINES, ClipBatch, language_model
from drcap.baselines.sound_events import SoundEvents
from drcap.experiments import grid

every_system = pytest.mark.parametrize("name", BASELINES)


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRCAP_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="module")
def setting(tmp_path_factory, language_model):
    folder = tmp_path_factory.mktemp("clips")
    train_set = toy_train_set(folder)
    clips = tuple(clips_of(folder, "ac", "test", 3))
    batch = ClipBatch(clips, train_set.captions)
    return toy_space(), train_set, toy_config(language_model), batch


@pytest.fixture(scope="module")
def fitted(setting, tmp_path_factory):
    space, train_set, config, _ = setting
    known: dict = {}

    def fit(name):
        if name not in known:
            known[name] = made(name, space)
            folder = tmp_path_factory.mktemp(name)
            known[name].fit(train_set, config, folder, progress=False)
        return known[name]

    return fit


def made(name, space):
    system = BASELINES[name](space)
    if isinstance(getattr(system, "events", None), SoundEvents):
        system.events = toy_events(space)
    return system


def test_the_grid_and_the_package_name_the_same_systems():
    assert {name: each.row for name, each in BASELINES.items()} == grid.BASELINES


@every_system
def test_a_system_captions_every_clip(setting, fitted, name):
    *_, batch = setting
    captions = fitted(name).caption(batch)
    assert len(captions) == len(batch.clips)
    assert all(isinstance(caption, str) for caption in captions)


@every_system
def test_a_caption_does_not_depend_on_the_rest_of_its_batch(setting, fitted, name):
    *_, batch = setting
    together = fitted(name).caption(batch)
    alone = [
        fitted(name).caption(ClipBatch((clip,), batch.captions))[0]
        for clip in batch.clips
    ]
    assert alone == together


@every_system
def test_a_saved_system_captions_as_it_did(setting, fitted, tmp_path, name):
    space, _, config, batch = setting
    fitted(name).save(tmp_path / "saved")
    loaded = made(name, space)
    loaded.load(tmp_path / "saved", config)
    assert loaded.caption(batch) == fitted(name).caption(batch)
    assert loaded.trained_parameters == fitted(name).trained_parameters


@every_system
def test_a_fitted_system_is_fitted_again_from_what_lies_there(
    setting, fitted, tmp_path, monkeypatch, name
):
    space, train_set, config, batch = setting
    folders = [tmp_path / "run", tmp_path / "copy"]
    made(name, space).fit(train_set, config, folders[0], progress=False)
    if folders[0].exists():
        shutil.copytree(*folders)
    monkeypatch.setattr(language_model, "untrained", None)  # a second model
    again = made(name, space)
    again.fit(train_set, config, folders[1], progress=False)
    assert again.caption(batch) == fitted(name).caption(batch)


@every_system
def test_only_what_is_trained_counts(fitted, name):
    untrained = {"zeraucap", "nearest_caption", "common_caption"}
    assert (fitted(name).trained_parameters == 0) == (name in untrained)


@every_system
def test_supervised_systems_are_those_of_the_papers_section(name):
    supervised = BASELINES[name].row in grid.SUPERVISED
    assert BASELINES[name].supervised == supervised


@pytest.mark.parametrize("name", ["wsac", "soft_hard_prompts", "drcap_noise"])
def test_a_text_only_system_never_reads_a_training_recording(
    setting, tmp_path, name, monkeypatch
):
    space, train_set, config, _ = setting
    heard = []
    for kind in ("frames", "log_mels", "audio"):
        monkeypatch.setattr(space, kind, heard.append)
    system = made(name, space)
    system.fit(train_set, config, tmp_path, progress=False)
    assert heard == []
