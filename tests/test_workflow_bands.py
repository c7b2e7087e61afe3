"""The study of bands trains one captioner a band and seed and repeats nothing."""

import numpy as np
import pandas as pd
import pytest
from doubles_experiments import ToyMaterials

from drcap.captioner.train import Trainer
from drcap.errors import ConfigError
from drcap.evaluation import metrics
from drcap.evaluation.metrics import Scores
from drcap.experiments import listening, materials
from workflow.bands import STEM, bands

BANDS = [(0.3, 0.8), (0.9, 0.95)]


def test_bands_are_compared_on_validation_clips_once(
    language_model, tmp_path, monkeypatch
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    toy = ToyMaterials(tmp_path / "clips", language_model)
    monkeypatch.setattr(materials, "Materials", lambda profile: toy)
    trained, heard, before, run = [], [], toy.config, Trainer.run

    def watched(trainer, *arguments, **options):
        trained.append(trainer.config)
        return run(trainer, *arguments, **options)

    def listen(model, batch, conditions):
        heard.append((model.config.generation.length_penalty, *conditions))
        assert batch.clips == toy.clips("ac", "val")
        captions = ["a dog barks", "rain falls", "a bell"]
        return pd.DataFrame({conditions[0]: captions})

    def score_systems(texts, names):
        return {name: Scores(3, dict.fromkeys(names, 0.25)) for name in texts}

    monkeypatch.setattr(metrics, "score_systems", score_systems)
    monkeypatch.setattr(Trainer, "run", watched)
    monkeypatch.setattr(listening, "listen", listen)
    asked = {"condition": ["as it is", "w/o PD"], "penalty": [1.5], "reports": tmp_path}
    for _ in range(2):
        bands(["0.3,0.8", "0.9,0.95"], [0, 1], profile="smoke", **asked)
    limits = [(c.retrieval.sim_min, c.retrieval.sim_max, c.seed) for c in trained]
    assert limits == [(*band, seed) for band in BANDS for seed in (0, 1)]
    assert heard == 4 * [(1.0, "as it is"), (1.0, "w/o PD"), (1.5, "as it is")]
    assert toy.config == before
    frame = pd.read_csv(tmp_path / "smoke" / "tables" / f"{STEM}.csv")
    assert len(frame) == 4 * 3 and set(frame.cider_d) == {25.0}
    assert frame.words.unique() == pytest.approx(7 / 3)
    space = toy.space("drcap")
    cosines = space.text(toy.training_captions("ac")) @ space.datastore.embeddings.T
    inside = ((cosines >= 0.3) & (cosines <= 0.8)).sum(axis=1)
    first = frame[frame.band == "[0.30, 0.80]"]
    assert set(first["in range, median"]) == {np.median(inside)}
    assert set(first["fewer than 3"]) == {np.mean(inside < 3)}
    bands(["0.3,0.8"], [2], profile="smoke", **asked)  # one more seed
    assert len(pd.read_csv(tmp_path / "smoke" / "tables" / f"{STEM}.csv")) == 5 * 3
    with pytest.raises(ConfigError, match="--band wide: give S_min,S_max"):
        bands(["wide"], [0], profile="smoke", **asked)
    page = (tmp_path / "smoke" / "tables" / f"{STEM}.md").read_text()
    assert "[0.90, 0.95]" in page and "length penalty 1.5" in page
