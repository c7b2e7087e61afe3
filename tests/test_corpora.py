"""Procedural and real corpora are read alike by the grid: small copies of both here."""

import dataclasses

import pytest
from doubles import ToyCLAP
from doubles_datasets import MAKERS, VIDEOS
from doubles_experiments import RECIPE

from drcap import paths
from drcap.config import DatasetsConfig, ExperimentsConfig, corpora_profile, override
from drcap.data import corpora as corpora_module
from drcap.data import overlap
from drcap.data.clip import read_prepared, write_prepared
from drcap.data.corpora import PreparedCorpora, ProceduralCorpora, corpora, kind_of
from drcap.data.prepare import prepare
from drcap.errors import DatasetAbsentError, DatasetError
from drcap.experiments.grid import Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.run import clip_batch, load_system
from drcap.joint_space import JointSpace
from soundscapes import SoundscapesConfig
from soundscapes.corpora import build

TINY = SoundscapesConfig(ac=(2, 1, 1), cl=(1, 1, 1), weak=8, leaked=0.25)


@pytest.fixture(scope="module")
def scapes(tmp_path_factory):
    """Procedural corpora of fifteen clips, two of them copies."""
    folder = tmp_path_factory.mktemp("corpora")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRCAP_HOME", str(tmp_path_factory.mktemp("home")))
        yield ProceduralCorpora(TINY, build(TINY, folder, processes=1))


def test_every_procedural_clip_is_counted(scapes):
    sizes = scapes.sizes().set_index(["corpus", "subset"])
    assert sizes.clips.tolist() == [2, 1, 1, 1, 1, 1, 8]
    assert sizes.recordings.tolist() == sizes.clips.tolist()
    assert sizes.captions.loc["scapes-ac"].tolist() == [2, 5, 5]
    assert sizes.captions.loc["scapes-weak"].tolist() == [8]
    assert len(scapes.targets) == 7
    assert len({(clip.dataset, clip.subset) for clip in scapes.targets}) == 6


def test_the_truth_names_the_copies_and_what_sounds(scapes):
    assert len(scapes.copies) == 2 and set(scapes.copies.values()) <= set(
        scapes.targets
    )
    for clip in scapes.weak:
        copied = scapes.truth(clip)["copy_of"]
        assert (copied is None) == (clip.clip_id not in scapes.copies)
    clip = scapes.clips("ac", "test")[0]
    events = scapes.truth(clip)["scene"]["events"]
    for words, event in zip(scapes.heard(clip).split(", "), events, strict=True):
        assert words.startswith(event["name"].replace("_", " "))
        assert words.endswith(" s")


def test_no_copy_is_left_to_train_on(scapes):
    kept = {clip.clip_id for clip in scapes.pretraining.kept}
    assert kept.isdisjoint(scapes.copies)
    assert len(kept) >= 5  # of six; a fingerprint may err
    assert {clip.clip_id for clip in scapes.pairs} == kept
    assert len(scapes.weak_captions) == len(kept)


def test_procedural_corpora_are_built_once_in_a_folder_of_their_settings(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    one = SoundscapesConfig(ac=(1, 1, 1), cl=(1, 1, 1), weak=1, leaked=0.0)
    monkeypatch.setattr(corpora_module, "corpora_profile", lambda name: one)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    root = corpora("demo").root
    assert root.parent == paths.home() / "corpora" and root.name.startswith(
        "soundscapes-"
    )
    (root / "config.json").write_text("{}")
    with pytest.raises(DatasetError, match="other settings"):
        corpora("demo")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of prepared datasets, as `drcap data prepare` leaves them."""
    folder = tmp_path_factory.mktemp("real")
    for name, make in MAKERS.items():
        prepare(name, make(folder / "downloads" / name), folder / "data" / name)
    return folder / "data"


@pytest.fixture
def data(root, tmp_path, monkeypatch):
    """All of it, with empty lists of overlapping clips and a cache of its own."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(overlap, "blacklists", set)
    return PreparedCorpora(corpora_profile("paper"), root)


def test_every_subset_is_counted_by_its_published_name(data):
    sizes = data.sizes().set_index(["corpus", "subset"])
    assert sizes.clips.loc["AudioCaps"].tolist() == [12, 2, 2]
    assert sizes.captions.loc["Clotho"].tolist() == [10, 10, 10]
    assert sizes.clips.loc["WavCaps and the like", "train"] == len(data.weak)
    assert sizes.recordings.tolist() == sizes.clips.tolist()


def test_clips_of_the_targets_are_neither_trained_on_nor_retrieved(data):
    heard = {clip.youtube_id for clip in data.targets if clip.youtube_id}
    assert {*VIDEOS} <= heard  # of which WavCaps' AudioSet has six
    assert heard.isdisjoint(clip.youtube_id for clip in data.pairs if clip.youtube_id)
    shared = {clip.clip_id for clip in data.weak if clip.youtube_id in heard}
    assert shared and shared == {*data.copies}
    assert all(clip in data.targets for clip in data.copies.values())


def test_the_datastore_has_the_captions_of_wavcaps_alone(data):
    captions = [
        text
        for clip in data.pretraining.kept
        for text in clip.captions
        if clip.dataset == "wavcaps"
    ]
    assert captions and data.weak_captions == captions
    assert any(clip.dataset == "soundvecaps" for clip in data.weak)


def test_a_sample_of_the_weak_clips_is_drawn_once_and_for_all(data, root):
    def sample(seed):
        config = DatasetsConfig(weak_clips=5, seed=seed)
        return [clip.clip_id for clip in PreparedCorpora(config, root).weak]

    every = [clip.clip_id for clip in data.weak]
    assert sample(0) == sample(0) and len(sample(0)) == 5
    assert sample(0) != sample(1)
    assert sorted(sample(0), key=every.index) == sample(0)


def test_a_clip_without_a_recording_gives_its_captions_all_the_same(data, tmp_path):
    clips = list(read_prepared(data.root / "audiocaps" / "train.jsonl"))
    clips[0] = dataclasses.replace(clips[0], path=None)
    write_prepared(tmp_path / "audiocaps" / "train.jsonl", clips)
    some = PreparedCorpora(data.config, tmp_path)
    assert len(some.clips("ac", "train", audio=False)) == 12
    assert len(some.clips("ac", "train")) == 11


def test_a_domain_without_any_recording_is_an_error(data, tmp_path):
    clips = read_prepared(data.root / "audiocaps" / "test.jsonl")
    silent = [dataclasses.replace(clip, path=None) for clip in clips]
    write_prepared(tmp_path / "audiocaps" / "test.jsonl", silent)
    with pytest.raises(DatasetError, match="no clip of test has a recording"):
        PreparedCorpora(data.config, tmp_path).clips("ac", "test")


def test_what_is_not_prepared_is_named_with_the_command(data, tmp_path):
    with pytest.raises(DatasetAbsentError, match="drcap data prepare clotho --root"):
        PreparedCorpora(data.config, tmp_path).clips("cl", "val")


def test_a_profile_knows_its_corpora_before_they_are_read(root):
    assert kind_of("demo").names["ac"] == "scapes-ac"
    assert kind_of("demo-real").names == kind_of("paper").names
    assert corpora("smoke-real", root).config.weak_clips == 50
    assert corpora("paper", root).config == DatasetsConfig()


class RealMaterials(Materials):
    """The grid of smoke-real with a toy CLAP model and a tiny language model."""

    def __init__(self, root, language_model):
        super().__init__("smoke-real")
        self.corpora = corpora("smoke-real", root)
        recipe = override(ExperimentsConfig(), RECIPE)
        model = {"captioner": {"language_model": language_model}}
        self.config = override(recipe, {"captioner": model})

    def space(self, system):
        if system not in self._spaces:
            self._spaces[system] = JointSpace(ToyCLAP(), self.captions)
        return self._spaces[system]


@pytest.mark.usefixtures("data")
def test_the_grid_trains_and_captions_on_real_datasets(root, language_model):
    materials = RealMaterials(root, language_model)
    assert len(materials.training_captions("ac")) == 12
    cross = Experiment("ac", "cl"), materials
    captioned = load_system(*cross).caption_clips(clip_batch(*cross))
    clips = materials.clips("cl", "test")
    assert [entry.file for entry in captioned] == [str(clip.path) for clip in clips]
    similar = [match.caption for entry in captioned for match in entry.similar_captions]
    assert similar and {*materials.captions}.issuperset(similar)
