"""Projection-based decoding (sec. II-C, eq. 4): audio embeddings made of text ones.

An audio embedding is replaced by the mean of the text embedding support, weighted by a
softmax over its similarities to it. This closes the modality gap that training on text
alone leaves. Checked against the formula in float64.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional as F

from drcap.errors import ConfigError
from drcap.retrieval.files import float32

Support = torch.Tensor | np.ndarray  # S in eq. 4, (N, D) unit rows; halves or on disk
ONE_PASS = 2**30  # bytes of a support in float32; a larger one is read in blocks
BLOCK = 8_192  # rows of a block


@torch.no_grad()
def project(
    audio_embeds: torch.Tensor,
    support: Support,
    temperature: float,
    *,
    renormalise: bool = False,
    block_size: int | None = None,
) -> torch.Tensor:
    """Return E' = sum_i softmax_i(E_a . E_i / tau) E_i (eq. 4).

    audio_embeds : (B, D), unit rows, on any device     support : (N, D), unit rows
    temperature : tau > 0; towards 0 the nearest row, towards infinity the plain mean
    block_size : rows of the support in use at once; by default all of them, or BLOCK
        where they take more than ONE_PASS
    returns : (B, D) float32 on the device of `audio_embeds`, rows of norm <= 1, or
    exactly 1 if `renormalise`

    Memory: O(B x D) beside the support, or O(B x block_size). ConfigError for an
    impossible temperature or an empty support, ValueError for arrays that do not fit
    or hold NaN.
    """
    queries, tau = _check(audio_embeds, support, temperature)
    if block_size is None and 4 * len(support) * support.shape[1] > ONE_PASS:
        block_size = BLOCK
    if block_size is None:
        mean = _attend(queries, _float32(support, queries.device), tau)
    else:
        mean = _by_blocks(queries, _blocks(support, block_size, queries.device), tau)
    return F.normalize(mean, dim=1) if renormalise else mean


def _attend(queries: torch.Tensor, rows: torch.Tensor, tau: float) -> torch.Tensor:
    """Compute eq. 4 as attention of one head, by torch's fused kernel."""
    heads = queries[None, None], rows[None, None], rows[None, None]  # (1, 1, B or N, D)
    mean = F.scaled_dot_product_attention(*heads, scale=1 / tau)[0, 0]
    return _finite(mean)  # one bad row spoils every mean


def _by_blocks(
    queries: torch.Tensor, blocks: Iterator[torch.Tensor], tau: float
) -> torch.Tensor:
    """Compute eq. 4 by a running softmax over blocks of the support.

    Weights are relative to the largest similarity so far, which is subtracted before
    the division by tau, so that nothing overflows however small it is.
    """
    # finite at first, as minus infinity would give NaN at an infinite temperature
    largest = queries.new_full((len(queries), 1), torch.finfo(torch.float32).min)
    total = queries.new_zeros(len(queries), 1)
    mean = torch.zeros_like(queries)  # (B, D), still to be divided by `total`
    for rows in blocks:
        similarities = queries @ rows.T  # (B, block)
        before = largest
        largest = torch.maximum(before, similarities.amax(dim=1, keepdim=True))
        shrink = ((before - largest) / tau).exp()
        weights = (similarities - largest).div_(tau).exp_()
        total = total * shrink + weights.sum(dim=1, keepdim=True)
        mean = mean * shrink + weights @ rows
    return mean / total


@torch.no_grad()
def top_support(
    audio_embeds: torch.Tensor, support: Support, temperature: float, k: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k largest softmax weights of eq. 4 and the rows that they belong to.

    returns : weights (B, min(k, N)) float32, falling, and rows (B, min(k, N)) int64

    Other arguments and errors are those of `project`. Memory: O(B x N).
    """
    queries, tau = _check(audio_embeds, support, temperature)
    blocks = _blocks(support, BLOCK, queries.device)
    similarities = torch.cat([queries @ rows.T for rows in blocks], dim=1)  # (B, N)
    largest = similarities.amax(dim=1, keepdim=True)
    weights = ((similarities - largest) / tau).softmax(dim=1)
    return tuple(weights.topk(min(k, len(support)), dim=1))


def _blocks(
    support: Support, block_size: int, device: torch.device
) -> Iterator[torch.Tensor]:
    """Yield blocks (<= block_size, D) float32 on `device`."""
    for start in range(0, len(support), block_size):
        yield _finite(_float32(support[start : start + block_size], device))


def _float32(rows: Support, device: torch.device) -> torch.Tensor:
    if isinstance(rows, np.ndarray):
        return float32(rows, device)
    return rows.to(device, torch.float32)


def _finite(rows: torch.Tensor) -> torch.Tensor:
    if not torch.isfinite(rows).all():
        raise ValueError("the text embedding support holds NaN or infinite values")
    return rows


def _check(
    audio_embeds: torch.Tensor, support: Support, temperature: float
) -> tuple[torch.Tensor, float]:
    """Return the queries in float32, and tau as a number float32 can divide by."""
    if not temperature > 0:  # also of NaN
        raise ConfigError(f"temperature is {temperature}: it must be above 0")
    if len(support) == 0:
        raise ConfigError("the text embedding support is empty: give it captions")
    if audio_embeds.ndim != 2 or audio_embeds.shape[1:] != support.shape[1:]:
        raise ValueError(
            f"audio embeddings {tuple(audio_embeds.shape)} and support "
            f"{tuple(support.shape)} do not fit: expected (B, D) and (N, D)"
        )
    queries = audio_embeds.to(torch.float32)
    if not torch.isfinite(queries).all():
        raise ValueError("the audio embeddings hold NaN or infinite values")
    return queries, max(temperature, torch.finfo(torch.float32).tiny)
