"""Beside each system stand people, the truth and the same captions shuffled."""

from types import SimpleNamespace

import numpy as np
import pytest

from drcap.data.clip import Clip
from drcap.evaluation import engine
from drcap.evaluation.metrics import score
from drcap.experiments import scale
from drcap.experiments.grid import Experiment
from drcap.experiments.scale import REFERENCES, event_shares, scene_of, score_scale
from soundscapes import SoundscapesConfig
from soundscapes.addresses import Address
from soundscapes.clips import clip_of
from soundscapes.layouts import _truth

COUNT = 12


@pytest.fixture(autouse=True)
def plain_tokens(monkeypatch):
    monkeypatch.setattr(engine, "ptb_tokenise", lambda texts: [*map(str.lower, texts)])


@pytest.fixture
def materials():
    """Test clips of both corpora with their truth, and no recordings."""
    config, truths, clips = SoundscapesConfig(), {}, {}
    for domain, subset in (("ac", "test"), ("cl", "evaluation")):
        made = [clip_of(Address(domain, subset, n), config) for n in range(COUNT)]
        truths |= {each.clip_id: _truth(each, config) for each in made}
        clips[domain] = tuple(
            Clip(each.clip_id, domain, subset, None, None, each.captions)
            for each in made
        )
    return SimpleNamespace(
        names={"ac": "scapes-ac", "cl": "scapes-cl"},
        clips=lambda domain, subset: clips[domain],
        corpora=SimpleNamespace(truth=lambda clip: truths[clip.clip_id]),
    )


@pytest.fixture
def results(materials, monkeypatch):
    """DRCap says a reference of the clip; the most common caption is one for all."""
    said, scores = {}, {}
    clips = materials.clips("ac", "test")
    for seed in (0, 1):
        for system in ("drcap", "common_caption"):
            own = [clip.captions[seed + 1] for clip in clips]
            texts = own if system == "drcap" else ["People talk"] * COUNT
            run = Experiment(system=system, seed=seed)
            said[run] = [{"candidate": text} for text in texts]
            references = [list(clip.captions) for clip in clips]
            scores[run] = score(texts, references, scale.METRICS)
    monkeypatch.setattr(scale, "read_predictions", lambda run, reports: said[run])
    return scores


def test_the_scale_has_people_truth_and_every_system(materials, results):
    frame = score_scale(results, materials, None).set_index(["clips of", "row"])
    told = [
        f"truth, in the {style} style"
        for style in ("corpus'", "other corpus'", "weak captions'")
    ]
    assert [*frame.loc["scapes-ac"].index] == [
        REFERENCES,
        *told,
        "DRCap",
        "Most common caption",
    ]
    assert [*frame.loc["scapes-cl"].index] == [REFERENCES, *told]
    ours = frame.loc["scapes-ac", "DRCap"]
    means = [results[Experiment(seed=seed)].corpus["cider_d"] for seed in (0, 1)]
    assert ours["CIDEr-D"] == pytest.approx(100 * np.mean(means))
    assert (ours["seeds"], ours["did not learn"]) == (2, False)
    assert ours["low"] > ours["shuffled"]
    common = frame.loc["scapes-ac", "Most common caption"]
    assert common["did not learn"] and common["trained on"] == "scapes-ac"
    assert common["events found"] < 0.3 < 0.7 < ours["events found"]
    people = frame.loc["scapes-ac", REFERENCES]
    assert 0.7 < people["events found"] < 1 and people["events right"] > 0.95
    truth = frame.loc["scapes-ac", told[0]]
    assert truth["events found"] == truth["in order"] == 1
    assert frame.loc["scapes-cl", told[1]]["CIDEr-D"] > 0


def test_real_recordings_have_people_and_systems_alone(materials, results):
    materials.corpora = SimpleNamespace()
    frame = score_scale(results, materials, None)
    ac = frame[frame["clips of"] == "scapes-ac"]
    assert ac["row"].tolist() == [REFERENCES, "DRCap", "Most common caption"]
    assert ac[[*scale.EVENTS.values()]].isna().all(axis=None)


def test_events_are_counted_over_all_clips(materials):
    clips = materials.clips("ac", "test")
    scenes = [scene_of(materials.corpora.truth(clip)) for clip in clips]
    assert scenes[0] == clip_of(Address("ac", "test", 0), SoundscapesConfig()).scene
    names = len({event.name for event in scenes[0].events})
    assert event_shares([""] * COUNT, scenes)["events found"] == 0
    assert np.isnan(event_shares([""] * COUNT, scenes)["events right"])
    first = event_shares([clips[0].captions[2]], scenes[:1])
    assert first["events found"] == pytest.approx(1, abs=1 / names)
