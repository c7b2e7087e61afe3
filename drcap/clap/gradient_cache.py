"""The gradient of one loss over a batch too large to encode at once.

A contrastive loss needs all embeddings of its batch, but not all activations: they are
computed twice, first without gradient for the embeddings, then part by part to carry
the loss's gradient with respect to these into the weights (Gao et al., 2021). Parts may
also be shared among processes. The result is the plain gradient.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from drcap.processes import Processes


class MicroBatch(Protocol):
    """Pairs that are encoded at once."""

    rows: slice  # of the batch


def backpropagate(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    encode: Callable[[MicroBatch], torch.Tensor],
    micro_batches: Sequence[MicroBatch],
    batch_size: int,
    processes: Processes,
) -> torch.Tensor:
    """Add the loss's gradient to the weights' `grad`; return the loss.

    loss : of the batch's audio and text embeddings, (B, D) each
    encode : micro-batch -> (2, n, D) float32, audio and text; the same each time
    micro_batches : this process' share of the batch

    Weights inside `encode` get the gradient of this share, to be summed over the
    processes; those inside `loss` get the whole gradient in each of them.
    """
    if len(micro_batches) == 1 and processes.count == 1:
        value = loss(*encode(micro_batches[0]))
        value.backward()
        return value.detach()
    with torch.no_grad():
        parts = [encode(micro_batch) for micro_batch in micro_batches]
        shape = (2, batch_size, parts[0].shape[-1])
        embeddings = parts[0].new_zeros(shape)
        for micro_batch, part in zip(micro_batches, parts, strict=True):
            embeddings[:, micro_batch.rows] = part
        embeddings = processes.sum(embeddings)  # the others' rows are zeros here
    embeddings.requires_grad_()
    value = loss(*embeddings)
    value.backward()
    for micro_batch in micro_batches:
        encode(micro_batch).backward(embeddings.grad[:, micro_batch.rows])
    return value.detach()
