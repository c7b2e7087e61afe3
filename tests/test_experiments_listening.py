"""Each condition takes away what it says; scores are those of the metric."""

import numpy as np
import pandas as pd
import pytest
import torch
from doubles_experiments import ToyMaterials

from drcap.data.clip import Clip
from drcap.evaluation.metrics import score
from drcap.experiments.grid import Experiment
from drcap.experiments.listening import CONDITIONS, listen, listening_scores
from drcap.experiments.run import clip_batch, load_system
from drcap.projection import project
from drcap.systems import drcap


def test_a_condition_changes_what_mapper_and_prompt_hold(
    language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    materials = ToyMaterials(tmp_path / "clips", language_model)
    batch = clip_batch(Experiment(), materials, "test")
    model = load_system(Experiment(), materials)
    expected = [result.caption for result in model.caption_clips(batch)]
    captions = listen(model, batch)
    assert captions["as it is"].tolist() == expected
    assert captions.index.tolist() == [clip.clip_id for clip in batch.clips]
    two = listen(model, batch, rows=[3, 1], conditions=["w/o PD"])
    assert two["w/o PD"].tolist() == captions["w/o PD"].iloc[[3, 1]].tolist()

    reads, prompts = {}, {}

    def generate_beams(captioner, embeddings, texts, settings):
        reads[condition], prompts[condition] = embeddings, texts
        return [["a caption", "another"] for _ in texts]

    monkeypatch.setattr(drcap, "generate_beams", generate_beams)
    for condition in CONDITIONS:
        listen(model, batch, conditions=[condition])
    audio = model.space.audio(batch.clips)
    support = model.space.text(batch.captions)
    projected = project(audio, support, model.clap.temperature)
    own = [[match.caption for match in row] for row in model.similar(batch)]
    assert torch.equal(reads["as it is"], projected) and prompts["as it is"] == own
    assert torch.equal(reads["w/o PD"], audio) and prompts["w/o PD"] == own
    moved = audio.numpy() - audio.numpy().mean(0) + support.mean(0)
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    shifted = reads["mean shift instead of PD"]
    np.testing.assert_allclose(shifted, moved, atol=1e-6)
    assert not reads["embedding of zeros"].any()
    assert prompts["no retrieved captions"] == [[]] * 4
    assert torch.equal(reads["no retrieved captions"], projected)
    assert torch.equal(reads["w/o PD, no retrieved captions"], audio)
    assert prompts["w/o PD, no retrieved captions"] == [[]] * 4
    places = [own.index(prompt) for prompt in prompts["retrieved captions shuffled"]]
    assert sorted(places) == [0, 1, 2, 3] and all(places != np.arange(4))
    torch.testing.assert_close(reads["embeddings shuffled"], projected[places])
    assert prompts["embeddings shuffled"] == own


def test_a_condition_is_scored_and_compared_with_the_first():
    clips = [
        Clip(
            *(name, "toy", "val", None, None),
            (f"a {name} barks loudly", f"the {name} barks"),
        )
        for name in ("dog", "fox", "seal")
    ]
    captions = {
        "as it is": ["a dog barks loudly", "a fox barks", "a seal barks"],
        "other": ["a dog barks loudly", "a dog barks", "a dog barks"],
    }
    frame = pd.DataFrame(captions, index=["dog", "fox", "seal"])
    table = listening_scores(frame, clips[::-1]).set_index("condition")
    references = [list(clip.captions) for clip in clips]
    for name, candidates in captions.items():
        corpus = score(candidates, references, ["cider_d"]).corpus["cider_d"]
        assert table.cider_d[name] == pytest.approx(100 * corpus)
    assert table.loss["as it is"] == 0
    difference = table.cider_d["as it is"] - table.cider_d["other"]
    assert table.loss["other"] == pytest.approx(difference)
    assert table.distinct["other"] == pytest.approx(2 / 3)
    assert table.words["as it is"] == pytest.approx(10 / 3)
