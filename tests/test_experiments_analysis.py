"""Sweeps caption as the grid does; contrasts and origins show what captions are."""

import numpy as np
import pytest
from doubles_experiments import TRAINING, WEAK, ToyMaterials

from drcap.evaluation.metrics import Scores
from drcap.experiments import analysis, run
from drcap.experiments.analysis import (
    contrasts,
    copied_share,
    origin_shares,
    origins,
    sweep,
    wording,
)
from drcap.experiments.grid import Experiment
from drcap.retrieval import Match

DRCAP, OTHER = Experiment(), Experiment(ablation="w/o SS")
GAINS = [0.1, -0.4, 0.3, 0.0]  # of the four test clips
CORPORA = {"weak": {"rain"}, "ac": {"dog", "both"}, "cl": {"cat", "both"}}


def test_a_sweep_has_a_row_a_variant_and_captions_as_the_grid_does(
    language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    candidates, supports = [], []

    def score(texts, mult_references, metrics):
        candidates.append(texts)
        return Scores(len(texts), dict.fromkeys(metrics, 0.5))

    monkeypatch.setattr(analysis, "score", score)
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
    monkeypatch.setitem(materials._clips, ("ac", "val"), materials.clips("ac", "test"))
    frame = sweep(DRCAP, materials, variants, support_sizes={"small": 2})
    assert list(frame.variant) == list(variants)
    batch, system = run.clip_batch(DRCAP, materials), run.load_system(DRCAP, materials)
    expected = [result.caption for result in system.caption_clips(batch)]
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


def test_contrasts_are_the_clips_of_the_largest_gains_and_losses(tmp_path, monkeypatch):
    materials = ToyMaterials(tmp_path / "clips", "unused")
    clips = materials.clips("ac", "test")

    def read(experiment, reports):
        caption = "a dog" if experiment == DRCAP else "a cat"
        similar = [{"caption": "a hound", "similarity": 0.5}]
        line = {"candidate": caption, "similar_captions": similar}
        return [{"clip_id": clip.clip_id, **line} for clip in clips]

    monkeypatch.setattr(analysis, "read_predictions", read)
    base = np.full(4, 0.5)
    results = {
        DRCAP: Scores(4, {}, {"cider_d": (base + GAINS).tolist()}),
        OTHER: Scores(4, {}, {"cider_d": base.tolist()}),
    }
    pair = {"DRCap": DRCAP, "w/o SS": OTHER}
    best, worst = contrasts(pair, results, materials, tmp_path, count=1)
    assert [best.gain, worst.gain] == pytest.approx([30, -40])
    assert [best.clip, worst.clip] == [clips[2], clips[1]]
    lines = str(best).splitlines()
    assert lines[:3] == ["DRCap: a dog", "w/o SS: a cat", "Retrieved: a hound"]
    assert best.clip.captions[0] in lines[3] and lines[4] == "CIDEr-D +30"
    every = contrasts(pair, results, materials, tmp_path, count=3)
    assert len(every) == len({shown.clip for shown in every}) == 4


def test_the_origins_of_a_prompt_are_shares_of_the_corpora_that_hold_its_captions():
    prompts = [
        [Match(caption, 0.5) for caption in captions]
        for captions in (("rain", "dog", "cat"), ("dog", "both", "rain"))
    ]
    shares = origin_shares({"row": prompts}, CORPORA, 2).loc["row"]
    assert shares.to_dict() == pytest.approx({"weak": 1 / 4, "ac": 5 / 8, "cl": 1 / 8})


def test_the_weak_corpus_is_what_neither_target_holds(tmp_path):
    assert origins(ToyMaterials(tmp_path, "unused")) == {
        "scapes-weak": {*WEAK},
        "scapes-ac": {*TRAINING["ac"]},
        "scapes-cl": {*TRAINING["cl"]},
    }


def test_words_are_counted_without_case_and_punctuation():
    assert wording(["A dog barks.", "A dog, a cat"]) == {
        "words, mean": 3.5,
        "different words": 4,
    }
