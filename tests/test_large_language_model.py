"""The benchmark of a captioner of 7B's shape, at a size of thousands."""

import json
import sys

import torch

from benchmarks import large_language_model as benchmark
from drcap.config import override, profile
from drcap.estimate.shapes import LLAMA_7B, LanguageModelShape

TINY = LanguageModelShape(2_000, 32, 2, 4, 4, 64)


def test_a_narrower_copy_keeps_the_blocks_and_the_size_of_a_head():
    shape = benchmark.narrower(LLAMA_7B, 8)
    assert (shape.depth, shape.width, shape.heads) == (32, 512, 4)
    assert shape.width // shape.heads == LLAMA_7B.width // LLAMA_7B.heads
    assert 40 < LLAMA_7B.block_weights / shape.block_weights <= 64


def test_each_job_is_measured_beside_what_is_computed():
    config = override(profile("paper"), {"generation": {"max_new_tokens": 3}})
    found = benchmark.run(TINY, config, torch.device("cpu"), rounds=1)
    assert [each["job"] for each in found] == [
        *("beam search", "training step", "training step, checkpointing"),
    ]
    assert all(each["seconds"] > 0 for each in found)
    computed = [each["computed_memory_of_7b_gib"] for each in found]
    assert 12.6 < computed[2] < computed[1] < 16 and computed[0] > 12.6


def test_the_result_is_written_with_its_record(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(benchmark, "LLAMA_7B", TINY)
    options = ["--rounds", "1", "--narrower", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["large_language_model.py", *options])
    benchmark.main()
    assert "| training step" in capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    assert len(result["jobs"]) == 3 and result["device"]
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["shape"]["depth"] == 2 and record["packages"]["torch"]
