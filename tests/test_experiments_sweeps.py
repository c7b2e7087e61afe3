"""A sweep captions as the grid does, one variant after another."""

import numpy as np
import pytest
from doubles_experiments import ToyMaterials

from drcap.evaluation.metrics import Scores
from drcap.experiments import run, sweeps
from drcap.experiments.grid import Experiment
from drcap.experiments.sweeps import copied_share, sweep


def test_a_sweep_has_a_row_a_variant_and_captions_as_the_grid_does(
    language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    candidates, supports = [], []

    def score(texts, mult_references, metrics):
        candidates.append(texts)
        return Scores(len(texts), dict.fromkeys(metrics, 0.5))

    monkeypatch.setattr(sweeps, "score", score)
    materials = ToyMaterials(tmp_path / "clips", language_model)
    space = materials.space("drcap")
    text = space.text

    def watched(captions):
        supports.append(captions)
        return text(captions)

    monkeypatch.setattr(space, "text", watched)
    variants = {
        "as it is": {},
        "no prompt": {"retrieval": {"enabled": False}},
        "small": {},
    }
    frame = sweep(
        Experiment(), materials, variants, subset="test", support_sizes={"small": 2}
    )
    assert list(frame.variant) == list(variants)
    expected = [result.caption for result in run.predict(Experiment(), materials)]
    assert candidates[0] == expected
    words = np.mean([len(caption.split()) for caption in expected])
    assert frame.words[0] == pytest.approx(words)
    assert frame.copied[1] == 0 and set(frame.cider_d) == {50.0}
    everything = materials.training_captions("ac")
    assert supports[:2] == [everything] * 2 and len(supports[2]) == 2
    assert {*supports[2]} <= {*everything}


def test_a_caption_is_copied_if_it_differs_in_case_and_full_stop_only():
    prompts = [["A dog barks.", "Rain"], ["Rain"], []]
    assert copied_share(["a dog barks", "rain falls", "rain"], prompts) == 1 / 3
