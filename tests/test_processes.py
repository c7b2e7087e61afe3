"""Alone; several processes that share a job are in test_captioner_processes.py."""

import pytest
import torch
from torch import nn

from drcap.processes import Processes


@pytest.fixture
def processes():
    return Processes("cpu")


def test_alone_a_process_is_the_main_one_and_changes_nothing(processes):
    assert processes.main and processes.count == 1
    tensor, weight = torch.ones(2), nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 3.0)
    assert processes.sum(tensor) is tensor
    processes.sum_gradients([weight])
    processes.agree([weight])
    assert weight.grad.tolist() == [3, 3]
    assert processes.gather(["a", "b"]) == ["a", "b"]
    processes.wait()
    with processes.main_first():
        pass


@pytest.mark.parametrize(("count", "total"), [(1, 5), (2, 0), (3, 1), (3, 5), (4, 8)])
def test_items_are_shared_evenly_and_fillers_are_recognised(processes, count, total):
    processes.count, kept = count, []
    lengths = set()
    for processes.index in range(count):
        mine = processes.share(range(total))
        lengths.add(len(mine))
        kept += [item for item, counts in mine if counts]
        assert all(item == 0 for item, counts in mine if not counts)
    assert len(lengths) == 1
    assert sorted(kept) == list(range(total))
