"""Several processes that share one job; `accelerate launch` or torchrun starts them.

The process group, the devices and the exchange of tensors are accelerate's. A single
process computes what it would compute without this module.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast, gather_object, reduce
from torch import nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from drcap.devices import resolve_device

T = TypeVar("T")
# While one builds what the others wait for. The launcher notices one that has died.
PATIENCE = timedelta(days=1)


class Processes:
    """The processes that share a batch: this one, or all that a launcher started.

    device : as for `resolve_device`; ConfigError if it is not there
    """

    def __init__(self, device: str = "auto"):
        self.count, self.index, self.device = 1, 0, resolve_device(device)
        if int(os.environ.get("WORLD_SIZE", 1)) > 1:  # `accelerate launch`, torchrun
            cpu = self.device.type == "cpu"
            state = PartialState(cpu=cpu, timeout=PATIENCE)
            self.count, self.index = state.num_processes, state.process_index
            self.device = state.device

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and draws bars."""
        return self.index == 0

    def wait(self) -> None:
        """Return when all processes have called this."""
        if self.count > 1:
            PartialState().wait_for_everyone()

    @contextmanager
    def main_first(self) -> Iterator[None]:
        """Run the block in the main process first, then in the others."""
        if not self.main:
            self.wait()
        yield
        if self.main:
            self.wait()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of all processes' tensors."""
        return reduce(tensor.to(self.device), "sum") if self.count > 1 else tensor

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Add up the parameters' gradients over the processes, in one exchange."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if self.count > 1:
            total = self.sum(parameters_to_vector(gradients))
            vector_to_parameters(total, gradients)

    @torch.no_grad()
    def agree(self, parameters: Iterable[nn.Parameter]) -> None:
        """Copy the main process' parameters to all processes."""
        if self.count > 1:
            for parameter in parameters:
                parameter.copy_(broadcast(parameter.detach().clone()))

    def gather(self, items: Sequence[T]) -> list[T]:
        """Return the items of all processes, in the order of the processes."""
        return gather_object(list(items)) if self.count > 1 else list(items)

    def share(self, items: Sequence[T]) -> list[tuple[T, bool]]:
        """Return this process' items, every count-th, and whether each is to count.

        Exchanges in between need all processes: where the items do not divide, all get
        equally many, and the first one, repeated, does not count.
        """
        filled = [(item, True) for item in items]
        filled += [(item, False) for item in items[:1]] * (-len(items) % self.count)
        return filled[self.index :: self.count]
