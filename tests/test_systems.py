"""Every system fits, captions, and captions the same after it was saved and loaded."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from doubles_experiments import clips_of
from doubles_systems import toy_config, toy_space, toy_system, toy_training_set

from drcap.captioner.mapper import fit_mapper, mean_words
from drcap.captioner.train import untrained
from drcap.checkpoint import saved_weights
from drcap.config import override
from drcap.experiments.grid import named
from drcap.systems import SYSTEMS, load_class
from drcap.systems.base import SILENCE, Captioned, ClipBatch, TrainingSet
from drcap.systems.language_model import MEMORY, SupervisedSystem


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("DRCAP_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def setting(home, language_model):
    """Space, training set, recipe, and four clips, the third of them silent."""
    training_set = toy_training_set(home / "clips")
    clips = list(clips_of(home / "clips", "ac", "test", 4))
    soundfile.write(clips[2].path, np.zeros(16_000), 16_000)
    batch = ClipBatch(tuple(clips), training_set.captions)
    return toy_space(), training_set, toy_config(language_model), batch


@pytest.fixture(scope="module", params=SYSTEMS)
def fitted(request, setting, home):
    """A fitted system's name, itself, and the folder of its training."""
    space, training_set, config, _ = setting
    system, folder = toy_system(request.param, space), home / request.param
    system.fit(training_set, config, folder)
    return request.param, system, folder


def test_a_clip_is_captioned_alike_alone_and_in_a_batch(setting, fitted):
    *_, batch = setting
    together = fitted[1].caption_clips(batch)
    assert len(together) == len(batch.clips)
    for clip, result in zip(batch.clips, together, strict=True):
        assert isinstance(result, Captioned) and result.file == str(clip.path)
        assert isinstance(result.caption, str) and result.error is None
        assert fitted[1].caption_clips(replace(batch, clips=(clip,))) == [result]


def test_a_silent_clip_is_named_so_by_every_system(setting, fitted):
    *_, batch = setting
    results = fitted[1].caption_clips(batch)
    assert [result.caption == SILENCE for result in results] == [False] * 2 + [1, 0]
    assert results[2].similar_captions == [] and "silent" in results[2].warning


def test_a_saved_system_captions_as_it_did(setting, fitted, tmp_path):
    space, _, config, batch = setting
    name, system, _ = fitted
    system.save(tmp_path / "saved")
    loaded = toy_system(name, space)
    loaded.load(tmp_path / "saved", config)
    assert loaded.caption_clips(batch) == system.caption_clips(batch)


def test_a_fitted_system_is_found_again_and_trains_what_it_declares(setting, fitted):
    space, training_set, config, batch = setting
    name, system, folder = fitted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    again = toy_system(name, space)
    again.fit(training_set, config, folder)
    assert again.caption_clips(batch) == system.caption_clips(batch)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    trained = saved_weights(folder / "best") > 0
    assert trained == (bool(SYSTEMS[name].trains) and SYSTEMS[name].setting != "floor")
    supervised = issubclass(load_class(name), SupervisedSystem)
    assert supervised == (SYSTEMS[name].setting == "supervised")


def test_what_a_system_remembers_is_renewed_where_an_older_version_wrote_it(
    setting, home, tmp_path
):
    space, training_set, config, batch = setting
    system, folder = toy_system("wsac", space), tmp_path / "wsac"
    system.fit(training_set, config, folder)
    weights = (folder / "best" / "model.safetensors").read_bytes()
    (folder / "best" / MEMORY).write_text(json.dumps({"memory": ["A dog"]}))
    again = toy_system("wsac", space)
    again.fit(training_set, config, folder)
    assert again.memory == [*training_set.captions]
    assert again.caption_clips(batch) == system.caption_clips(batch)
    assert (folder / "best" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize("name", ["enclap", "prefix_aac", "soft_hard_prompts"])
def test_soft_tokens_start_from_the_words_of_the_captions(setting, name):
    space, training_set, config, _ = setting
    system = toy_system(name, space)
    start = {"captioner": {"mapper_start": "least_squares"}}
    recipe = override(system.recipe(config), start)
    settings = system.settings(config)
    built = system.captioner_class, system.width, recipe, "cpu", settings
    captioner = untrained(*built)
    examples, _ = system.examples(training_set, captioner, recipe)
    inputs = examples.inputs(range(len(examples)))
    words = mean_words(captioner, examples.captions)

    def off():
        soft = captioner.eval().mapper(inputs).detach().view(len(words), -1, 32)
        return (soft[:, 0] - words).square().mean() / words.var()

    assert off() > 1.3
    fit_mapper(captioner, inputs, examples.captions)
    assert off() < 0.9


def test_the_declarations_need_no_model():
    code = "import drcap.experiments.grid, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert {named(f"{name}_ac_to_cl_seed_0").system for name in SYSTEMS} == {*SYSTEMS}


# floors


def test_the_nearest_caption_has_the_largest_cosine(home, tmp_path):
    space = toy_space()
    clips = tuple(clips_of(tmp_path, "ac", "test", 4))
    results = toy_system("nearest_caption", space).caption_clips(ClipBatch(clips, []))
    cosines = space.audio(clips).numpy() @ space.datastore.embeddings.T
    for row, result in zip(cosines, results, strict=True):
        own = row[space.datastore.captions.index(result.caption)]
        assert own == pytest.approx(row.max(), abs=1e-5)
        assert result.similar_captions[0].caption == result.caption


def test_the_most_common_caption_is_counted_and_ties_go_to_the_middle(home, tmp_path):
    space = toy_space()
    often, rare = space.captions[3], space.captions[9]
    dogs = [text for text in space.captions if "dog" in text]
    engine = next(text for text in space.captions if "engine" in text)
    clips = tuple(clips_of(tmp_path, "ac", "test", 2))
    for captions, expected in (
        ([rare, often, often], {often}),
        ([engine, *dogs], {*dogs}),
    ):
        system = toy_system("common_caption", space)
        system.fit(TrainingSet(captions), toy_config("unused"), tmp_path)
        [first, second] = system.caption_clips(ClipBatch(clips, []))
        assert first.caption == second.caption and first.caption in expected
