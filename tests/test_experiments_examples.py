"""The clips on which two experiments differ most are found, with what was said."""

import numpy as np
import pytest
from doubles_experiments import ToyMaterials

from drcap.evaluation.metrics import Scores
from drcap.experiments import examples
from drcap.experiments.examples import contrasts
from drcap.experiments.grid import Experiment

DRCAP, OTHER = Experiment(), Experiment(ablation="w/o SS")
PAIR = {"DRCap": DRCAP, "w/o SS": OTHER}
GAINS = [0.1, -0.4, 0.3, 0.0]  # of the four test clips


@pytest.fixture
def materials(tmp_path):
    return ToyMaterials(tmp_path / "clips", "unused")


@pytest.fixture(autouse=True)
def captions(monkeypatch, materials):
    def read(experiment, reports):
        said = "a dog" if experiment == DRCAP else "a cat"
        match = {"caption": "a hound", "similarity": 0.5}
        return [
            {"clip_id": clip.clip_id, "candidate": said, "similar_captions": [match]}
            for clip in materials.clips("ac", "test")
        ]

    monkeypatch.setattr(examples, "read_predictions", read)


def results():
    base = np.array([0.5, 0.5, 0.5, 0.5])
    return {
        DRCAP: Scores(4, {}, {"cider_d": (base + GAINS).tolist()}),
        OTHER: Scores(4, {}, {"cider_d": base.tolist()}),
    }


def test_gains_come_first_and_losses_last(materials, tmp_path):
    found = contrasts(PAIR, results(), materials, tmp_path, count=1)
    assert [each.gain for each in found] == pytest.approx([30, -40])
    clips = materials.clips("ac", "test")
    assert [each.clip for each in found] == [clips[2], clips[1]]


def test_no_clip_is_shown_twice_where_there_are_few(materials, tmp_path):
    found = contrasts(PAIR, results(), materials, tmp_path, count=3)
    assert len(found) == 4 and len({each.clip for each in found}) == 4


def test_a_contrast_reads_as_both_captions_the_prompt_and_references(
    materials, tmp_path
):
    first = contrasts(PAIR, results(), materials, tmp_path, count=1)[0]
    lines = str(first).splitlines()
    assert lines[:3] == ["DRCap: a dog", "w/o SS: a cat", "Retrieved: a hound"]
    assert first.clip.captions[0] in lines[3] and lines[4] == "CIDEr-D +30"
