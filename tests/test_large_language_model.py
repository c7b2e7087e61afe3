"""The benchmark of a captioner of 7B's shape, at a size of thousands."""

import json
import sys

import pytest

from benchmarks import large_language_model as benchmark

TINY = benchmark.LLAMA_7B | {
    **{"vocab_size": 2_000, "hidden_size": 32, "intermediate_size": 64},
    **{"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4},
}


def test_a_narrower_copy_keeps_the_blocks_and_the_size_of_a_head():
    shape = benchmark.narrower(benchmark.LLAMA_7B, 8)
    assert (shape["num_hidden_layers"], shape["hidden_size"]) == (32, 512)
    assert shape["hidden_size"] // shape["num_attention_heads"] == 128


def test_each_job_is_measured_beside_what_is_computed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "LLAMA_7B", TINY)
    options = ["--rounds", "1", "--narrower", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["large_language_model.py", *options])
    benchmark.main()
    assert "| training step" in capsys.readouterr().out
    jobs = json.loads((tmp_path / "result.json").read_text())["jobs"]
    names = ["beam search", "training step", "training step, checkpointing"]
    assert [job["job"] for job in jobs] == names
    assert all(job["seconds"] > 0 for job in jobs)
    computed = [job["computed_memory_of_7b_gib"] for job in jobs]
    assert computed[2] < computed[1] and computed[0] == pytest.approx(14, abs=2)
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["shape"]["num_hidden_layers"] == 2 and record["packages"]["torch"]
