import pytest
import torch
from torch import nn

from drcap.processes import Processes


@pytest.fixture
def processes():
    return Processes("cpu")


def test_alone_a_process_is_the_main_one_and_changes_nothing(processes):
    assert processes.main and processes.count == 1 and not processes.sharded
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


def test_sharding_is_asked_for_by_the_launcher_and_needs_two(processes, monkeypatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert not processes.sharded
    processes.count = 2
    assert processes.sharded
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    assert not processes.sharded


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("total", [0, 1, 5, 8])
def test_items_are_shared_evenly_and_what_is_repeated_is_known(processes, count, total):
    processes.count, kept = count, []
    lengths = set()
    for processes.index in range(count):
        mine = processes.share(range(total))
        lengths.add(len(mine))
        for place, item in enumerate(mine):
            if processes.is_filler(place, total):
                assert item == 0
            else:
                kept.append(item)
    assert len(lengths) == 1
    assert sorted(kept) == list(range(total))
