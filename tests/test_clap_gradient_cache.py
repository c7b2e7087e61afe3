from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from drcap.clap.gradient_cache import backpropagate
from drcap.clap.loss import contrastive_loss
from drcap.processes import Processes

CLIPS = torch.tensor([0, 1, 2, 1, 3, 4, 5, 0])


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


def parts_of(inputs, size):
    starts = range(0, len(inputs), size)
    rows = [slice(start, min(start + size, len(inputs))) for start in starts]
    return [Part(each, inputs[each]) for each in rows]


def gradients(model):
    return {name: each.grad.clone() for name, each in model.named_parameters()}


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_the_gradient_is_that_of_the_whole_batch_at_once(model, size):
    inputs = torch.randn(8, 6, dtype=torch.float64)
    plain = model.loss(*model.encode(Part(slice(0, 8), inputs)))
    plain.backward()
    expected = gradients(model)
    model.zero_grad()
    loss = backpropagate(
        model.loss, model.encode, parts_of(inputs, size), 8, Processes("cpu")
    )
    torch.testing.assert_close(loss, plain.detach())
    torch.testing.assert_close(gradients(model), expected)


def test_a_batch_in_one_part_is_encoded_once_and_others_twice(model):
    inputs = torch.randn(8, 6, dtype=torch.float64)
    for size, calls in ((8, 1), (4, 4), (3, 6)):
        model.calls = 0
        backpropagate(
            model.loss, model.encode, parts_of(inputs, size), 8, Processes("cpu")
        )
        assert model.calls == calls


def test_no_more_than_one_part_holds_activations_at_a_time(model):
    """Count the rows whose graph is alive when another part is encoded."""
    inputs, alive = torch.randn(8, 6, dtype=torch.float64), []

    def encode(part):
        rows = model.encode(part)
        if rows.requires_grad:
            alive.append(len(part.inputs))
            rows.register_hook(lambda gradient: alive.clear())
        assert len(alive) <= 1
        return rows

    backpropagate(model.loss, encode, parts_of(inputs, 2), 8, Processes("cpu"))


def test_one_process_is_the_main_one_and_sums_nothing():
    processes, gradient = Processes("cpu"), torch.ones(3)
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = gradient
    processes.sum_gradients([parameter])
    processes.wait()
    assert processes.main and processes.count == 1
    assert parameter.grad is gradient and processes.sum(gradient) is gradient
