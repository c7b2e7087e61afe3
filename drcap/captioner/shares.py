"""One batch, cut into micro-batches and shared among processes.

The loss is a mean over the caption tokens of the whole batch (eq. 2), so each part
counts by its share of them: gradients and losses are added, never averaged. Where the
size of a micro-batch is given, so is its dropout: the curve is the same for any number
of processes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from drcap.captioner.data import Batch
from drcap.captioner.model import Captioner
from drcap.errors import ConfigError
from drcap.processes import Processes


@dataclass(frozen=True)
class Part:
    """Rows of a batch that are computed at once."""

    batch: Batch
    first: int  # its first row's place in the whole batch
    weight: float  # its share of the batch's caption tokens; 0: computed for company


def shares(batch: Batch, rows: int | None, processes: Processes) -> list[Part]:
    """Return this process' parts of a batch, as many as each other process has.

    rows : of a part; None: one part a process
    """
    size = len(batch.targets)
    rows = rows or -(-size // processes.count)
    firsts = range(0, size, rows)
    total = caption_tokens(batch)
    parts = []
    for place, first in enumerate(processes.share(firsts)):
        part = _rows(batch, first, first + rows)
        idle = processes.is_filler(place, len(firsts))
        weight = 0.0 if idle else caption_tokens(part) / total
        parts.append(Part(part, first, weight))
    return parts


def caption_tokens(batch: Batch) -> int:
    """Return how many tokens the loss of a batch is a mean over."""
    return sum(map(len, batch.targets))


def seed_dropout(seed: int, step: int, first: int) -> None:
    """Seed the draws of a part by its place alone: whoever computes it draws the same.

    first : row of the batch that the part begins with
    """
    if first == 0:
        torch.manual_seed(seed * 1_000_003 + step)
    else:
        key = np.random.SeedSequence((seed, step, first))
        torch.manual_seed(int(key.generate_state(1)[0]))


def refuse_idle(batch_size: int, processes: Processes) -> None:
    """Raise ConfigError if there are more processes than rows to share."""
    if processes.count > batch_size:
        raise ConfigError(
            f"training.batch_size: {batch_size} cannot be shared by {processes.count} "
            f"processes; launch {batch_size} or fewer, or raise it"
        )


def shard_frozen(captioner: Captioner, processes: Processes) -> None:
    """Cut the frozen blocks among the processes; each is whole only while it is used.

    FSDP2 by block. What is trained stays whole everywhere, small as it is, and so do
    the token embeddings: optimiser, state and checkpoints are those of one process.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if captioner.config.quantisation != "none":
        raise ConfigError(
            "captioner.quantisation: weights in 4 bit cannot be sharded; launch "
            "without --use_fsdp, or use none"
        )
    llm = captioner.causal_lm()
    mesh = init_device_mesh(processes.device.type, (processes.count,))
    whole = {each for each in captioner.parameters() if each.requires_grad}
    for layer in (llm.get_input_embeddings(), llm.get_output_embeddings()):
        whole |= set(layer.parameters())
    options = {"mesh": mesh, "reshard_after_forward": True, "ignored_params": whole}
    for block in _blocks(llm):
        fully_shard(block, **options)
    fully_shard(llm.base_model, **options)


def _blocks(llm) -> Sequence[torch.nn.Module]:
    kinds = set(llm._no_split_modules or ())
    found = [each for each in llm.modules() if type(each).__name__ in kinds]
    if not found:
        name = type(llm).__name__
        raise ConfigError(
            f"{name}: does not say which of its modules are blocks, so it cannot be "
            "sharded; launch without --use_fsdp"
        )
    return found


def _rows(batch: Batch, start: int, stop: int) -> Batch:
    part = slice(start, stop)
    return Batch(batch.embeddings[part], batch.prompts[part], batch.targets[part])
