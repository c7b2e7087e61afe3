"""The grid fits every system once, and records what it cost."""

import json

import pytest
from doubles_baselines import BASELINES as SMALL
from doubles_baselines import HearingCLAP, toy_events
from doubles_experiments import ToyMaterials, clips_of

from drcap.baselines import BASELINES
from drcap.baselines.sound_events import SoundEvents
from drcap.config import override
from drcap.experiments import scoring, systems
from drcap.experiments.costs import cost_table
from drcap.experiments.grid import Experiment
from drcap.experiments.results import folder_of, read_predictions
from drcap.experiments.scoring import complete
from drcap.spaces import Space

NAMES = ("wsac", "recap", "common_caption")


class HearingMaterials(ToyMaterials):
    """The same with frames, training recordings and small settings of every system."""

    def __init__(self, folder, language_model):
        super().__init__(folder, language_model)
        self.config = override(self.config, {"baselines": SMALL})
        for domain in ("ac", "cl"):
            train = tuple(clips_of(folder, domain, "train", 10))
            self._clips[domain, "train"] = train

    def training_captions(self, domain):
        clips = self.clips(domain, "train")
        return [text for clip in clips for text in clip.captions]

    def space(self, system):
        if system not in self._spaces:
            clap = HearingCLAP(f"hearing-{system}")
            self._spaces[system] = Space(clap, self.captions, progress=False)
        return self._spaces[system]

    @property
    def captions(self):
        return [text for d in ("ac", "cl") for text in self.training_captions(d)]


@pytest.fixture
def materials(tmp_path, language_model, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    scores = scoring.Scores(3, {"cider_d": 0.4})
    monkeypatch.setattr(scoring, "score", lambda said, given: scores)
    names = property(lambda self: toy_events(self.space).names)
    monkeypatch.setattr(SoundEvents, "names", names, raising=False)
    return HearingMaterials(tmp_path / "clips", language_model)


@pytest.mark.parametrize("name", NAMES)
def test_a_system_captions_another_domains_clips(materials, tmp_path, name):
    experiment = Experiment("ac", "cl", name)
    complete([experiment], materials, tmp_path)
    clips = materials.clips("cl", "test")
    records = read_predictions(experiment, tmp_path)
    assert [record["clip_id"] for record in records] == [c.clip_id for c in clips]


def test_a_fitted_system_is_found_again(materials, monkeypatch):
    systems.fitted(Experiment(system="wsac"), materials)
    run = systems.run_of(Experiment("ac", "cl", "wsac"), materials)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert before
    systems.fitted(Experiment("ac", "cl", "wsac"), materials)
    after = {path: path.stat().st_mtime_ns for path in run.rglob("*.safetensors")}
    assert after == before


def test_another_systems_settings_do_not_train_this_one_again(materials):
    wsac = Experiment(system="wsac")
    noise = Experiment(system="drcap_noise")
    first = [systems.run_of(each, materials) for each in (wsac, noise)]
    changed = {"baselines": {"wsac": {"noise_variance": 0.5}}}
    materials.config = override(materials.config, changed)
    second = [systems.run_of(each, materials) for each in (wsac, noise)]
    assert first[0] != second[0] and first[1] == second[1]


def test_every_row_says_what_it_cost(materials, tmp_path):
    experiments = [Experiment(system=name) for name in NAMES] + [Experiment()]
    results = complete(experiments, materials, tmp_path)
    costs = cost_table(results, tmp_path, domains=materials.names).set_index("system")
    assert costs["CIDEr-D"].tolist() == [40.0] * len(experiments)
    assert costs.loc["Most common caption", "trained parameters"] == 0
    assert costs.loc["Most common caption", "training seconds"] == 0
    assert (costs.loc[["WSAC", "RECAP", "DRCap"], "training seconds"] > 0).all()
    assert (costs["seconds a caption"] > 0).all()
    for experiment in experiments:
        record = json.loads((folder_of(experiment, tmp_path) / "run.json").read_text())
        assert record["cost"]["trained parameters"] == (
            costs.loc[BASELINES[experiment.system].row, "trained parameters"]
            if experiment.system in BASELINES
            else costs.loc["DRCap", "trained parameters"]
        )
