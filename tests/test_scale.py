"""The benchmark of large datastores, at a size of thousands."""

import json
import os
import sys

import numpy as np
from PIL import Image

from benchmarks import scale
from drcap.retrieval.index import INDEXES

WIDTH = 64


def test_the_rows_are_the_same_however_they_are_asked_for():
    whole = scale.synthetic_rows(0, 1_200, WIDTH)
    assert whole.dtype == np.float32 and whole.shape == (1_200, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(whole, axis=1), 1, atol=1e-6)
    parts = [scale.synthetic_rows(*part, WIDTH) for part in ((0, 700), (700, 500))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_many_pairs_of_a_cluster_lie_in_the_band_and_few_others_do():
    rows = scale.synthetic_rows(0, 5_000, WIDTH)
    cosines = rows @ rows.T
    alike = cosines[(cosines > 0.6) & (cosines < 0.99)]
    inside = (alike >= scale.BAND[0]) & (alike <= scale.BAND[1])
    assert 0.2 < inside.mean() < 0.9
    assert 5 < inside.sum() / 5_000 < 15  # neighbours of a caption


def test_a_job_has_a_process_and_a_memory_of_its_own():
    assert scale.in_own_process(os.getpid) != os.getpid()
    with scale.watched() as told:
        np.ones(20_000_000)
    assert told["resident"] >= told["allocated"] > 50e6 and told["seconds"] > 0


def test_each_job_of_each_size_is_measured_and_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(scale, "in_own_process", lambda job, *given: job(*given))
    for name, value in {"SEARCHED": 64, "PLAIN_QUERIES": 50, "PROJECTED": 9}.items():
        monkeypatch.setattr(scale, name, value)
    options = ["--captions", "3000", "5000", "--queries", "70", "--dim", str(WIDTH)]
    options += ["--output", str(tmp_path / "out"), "--scratch", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["scale.py", *options])
    scale.main()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    folder, printed = tmp_path / "out", capsys.readouterr()
    sizes = json.loads((folder / "result.json").read_text())["sizes"]
    assert [each["captions"] for each in sizes] == [3_000, 5_000]
    for each in sizes:
        jobs = [each[name] for name in ("build", "select", "project")]
        jobs += [each[f"search, {index}"] for index in INDEXES]
        assert all(job["resident"] >= job["allocated"] > 0 for job in jobs)
        assert each["build"]["bytes"] > 2 * WIDTH * each["captions"]
        assert each["search, exact"]["recall"] == 1
        assert min(each[f"search, {index}"]["recall"] for index in INDEXES) > 0.25
        assert each["select"]["share_with_all"] > 0
        assert len(each["beside"]) == 3
    page = (folder / "result.md").read_text()
    assert page in printed.out and page.count("| hnsw") == 2
    assert "5000 captions, select:" in printed.err
    assert (folder / "scale.png").stat().st_size < 150_000
    assert Image.open(folder / "scale.png").width > 800
    record = json.loads((folder / "run.json").read_text())
    assert record["config"]["captions"] == [3_000, 5_000] and record["seconds"] > 0


def test_an_encoder_of_synthetic_rows_knows_a_caption_by_its_number():
    clap = scale.SyntheticCLAP(WIDTH)
    found = clap.encode_text([f"synthetic caption {n:06}" for n in range(510, 515)])
    np.testing.assert_array_equal(found, scale.synthetic_rows(510, 5, WIDTH))
    assert clap.seconds > 0
