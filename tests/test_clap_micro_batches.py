from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch
from doubles_clap import tiny_clap_config
from torch import nn
from torch.nn import functional as F

from drcap.clap.model import contrastive_loss
from drcap.clap.pairs import MicroBatches
from drcap.clap.train import backpropagate
from drcap.errors import ConfigError
from drcap.processes import Processes

CLIPS = torch.tensor([0, 1, 2, 1, 3, 4, 5, 0])
ALONE = Processes("cpu")


def share(index, count, **training):
    config = tiny_clap_config("unused", training=training)
    processes = SimpleNamespace(index=index, count=count)
    return MicroBatches(config, None, range(100), processes).share()


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_processes_share_a_batch_without_gap_or_overlap(count):
    shares = [share(i, count, batch_size=20, micro_batch=3) for i in range(count)]
    rows = [row for part in shares for rows in part for row in range(20)[rows]]
    assert rows == list(range(20))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_micro_batches_are_refused():
    with pytest.raises(ConfigError, match="into 1, too few for 2 processes; lower it"):
        share(0, 2, batch_size=64, micro_batch=64)


@dataclass
class Part:
    rows: slice
    inputs: torch.Tensor


class TwoEncoders(nn.Module):
    def __init__(self):
        super().__init__()
        self.audio, self.text = nn.Linear(6, 5), nn.Linear(6, 5)
        self.temperature = nn.Parameter(torch.tensor(0.2))
        self.calls = 0

    def encode(self, part):
        self.calls += 1
        rows = (self.audio(part.inputs), self.text(part.inputs).tanh())
        return torch.stack([F.normalize(each, dim=1) for each in rows])

    def loss(self, audio, text):
        return contrastive_loss(audio, text, self.temperature, CLIPS)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return TwoEncoders().double()


@pytest.fixture
def inputs():
    return torch.randn(8, 6, dtype=torch.float64)


def parts_of(inputs, size):
    starts = range(0, len(inputs), size)
    rows = [slice(start, min(start + size, len(inputs))) for start in starts]
    return [Part(part, inputs[part]) for part in rows]


def gradients(model):
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def test_the_gradient_is_that_of_the_whole_batch_at_once(model, inputs):
    plain = model.loss(*model.encode(Part(slice(0, 8), inputs)))
    plain.backward()
    expected = gradients(model)
    # a batch in one part is encoded once, other parts twice each
    for size, calls in ((8, 1), (5, 4), (3, 6), (2, 8), (1, 16)):
        model.zero_grad()
        model.calls = 0
        parts = parts_of(inputs, size)
        loss = backpropagate(model.loss, model.encode, parts, 8, ALONE)
        torch.testing.assert_close(loss, plain.detach())
        torch.testing.assert_close(gradients(model), expected)
        assert model.calls == calls


def test_no_more_than_one_part_holds_activations_at_a_time(model, inputs):
    alive = []  # the parts whose graph exists when another one is encoded

    def encode(part):
        rows = model.encode(part)
        if rows.requires_grad:
            alive.append(part)
            rows.register_hook(lambda gradient: alive.clear())
        assert len(alive) <= 1
        return rows

    backpropagate(model.loss, encode, parts_of(inputs, 2), 8, ALONE)
