"""The default captions are AudioCaps' own, whole or a sample drawn by its seed."""

import pytest

from drcap import assets
from drcap.retrieval.default import default_captions

DISTINCT = 40


@pytest.fixture(autouse=True)
def audiocaps(tmp_path, monkeypatch):
    rows = [f"{i},v{i},0,Caption {i % DISTINCT}" for i in range(50)]
    table = "\n".join(["audiocap_id,youtube_id,start_time,caption", *rows])
    (tmp_path / "train_v2.csv").write_text(table + "\n")
    monkeypatch.setattr(assets, "asset_path", lambda name: tmp_path)


def test_all_of_them_keep_their_order_and_repeats():
    assert default_captions() == [f"Caption {i % DISTINCT}" for i in range(50)]


def test_a_sample_is_distinct_in_order_and_a_matter_of_the_seed():
    sample = default_captions(10, seed=1)
    assert len(set(sample)) == 10
    assert sample == [text for text in default_captions()[:DISTINCT] if text in sample]
    assert sample == default_captions(10, seed=1)
    assert sample != default_captions(10, seed=2)


def test_a_sample_of_more_than_there_are_is_every_one_once():
    assert default_captions(1000, seed=1) == default_captions()[:DISTINCT]
