"""What a row costs stands beside its score."""

import json

import pytest

from drcap.evaluation.metrics import Scores
from drcap.experiments.grid import row_experiment
from drcap.experiments.measured import cost_table


def test_each_experiment_has_a_line_of_score_and_costs(tmp_path):
    results = {}
    for number, row in enumerate(("DRCap", "w/o PD")):
        experiment = row_experiment(row, "ac", "cl", seed=3)
        results[experiment] = Scores(2, {"cider_d": number / 4})
        folder = tmp_path / "runs" / experiment.name
        folder.mkdir(parents=True)
        record = {"cost": {"trained parameters": number, "seconds a caption": 0.5}}
        (folder / "run.json").write_text(json.dumps(record))
    domains = {"ac": "scapes-ac", "cl": "scapes-cl"}
    table = cost_table(results, tmp_path, domains=domains)
    assert table.to_dict("records")[1] == {
        "system": "w/o PD",
        "trained on": "scapes-ac",
        "clips of": "scapes-cl",
        "seed": 3,
        "CIDEr-D": pytest.approx(25),
        "trained parameters": 1,
        "seconds a caption": 0.5,
    }
