"""The processes that share a job: this one, or all that a launcher started.

`accelerate launch` and torchrun start them and say so in the environment; the process
group, the devices and the exchange of tensors are accelerate's. Alone, a process pays
nothing and computes what it always has.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather_object, parse_flag_from_env, reduce
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from drcap.devices import resolve_device

T = TypeVar("T")
# While one builds what the others wait for. Of one that has died the launcher knows.
PATIENCE = timedelta(days=1)


class Processes:
    """The processes that share a batch: this one, or all that a launcher started."""

    def __init__(self, device: str = "auto"):
        self.count, self.index, self.device = 1, 0, resolve_device(device)
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # `accelerate launch`, torchrun
            cpu = self.device.type == "cpu"
            state = PartialState(cpu=cpu, timeout=PATIENCE)
            self.count, self.index = state.num_processes, state.process_index
            self.device = state.device
        if self.sharded:  # each reads all weights itself: nobody sends them later
            os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"

    @property
    def main(self) -> bool:
        """Whether this is the one that writes and draws bars."""
        return self.index == 0

    @property
    def sharded(self) -> bool:
        """Whether frozen weights are cut among them: `accelerate launch --use_fsdp`."""
        return self.count > 1 and parse_flag_from_env("ACCELERATE_USE_FSDP")

    def wait(self) -> None:
        """Return when all of them have come here."""
        if self.count > 1:
            PartialState().wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Let the main one through first, to make what the others then find made."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of all processes' tensors."""
        return reduce(tensor, "sum") if self.count > 1 else tensor

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the parameters' gradients over the processes, at one go."""
        gradients = [each.grad for each in parameters if each.grad is not None]
        if self.count > 1:
            total = self.sum(parameters_to_vector(gradients))
            vector_to_parameters(total, gradients)

    @torch.no_grad()
    def agree(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give all of them the main one's parameters."""
        if self.count > 1:
            for each in parameters:
                each.copy_(broadcast(each.detach().clone()))

    def gather(self, items: Sequence[T]) -> list[T]:
        """Return the items of all processes, in the order of the processes."""
        return gather_object(list(items)) if self.count > 1 else list(items)

    def share(self, items: Sequence[T]) -> list[T]:
        """Return this one's items, every count-th; all get equally many.

        Where they do not divide, the first item is repeated: exchanges in between need
        all processes.
        """
        if not items:
            return []
        rounds = -(-len(items) // self.count)
        filled = [*items, *[items[0]] * (rounds * self.count - len(items))]
        return filled[self.index :: self.count]

    def is_filler(self, place: int, total: int) -> bool:
        """Tell whether the item at `place` of `share` only repeats another."""
        return place * self.count + self.index >= total
