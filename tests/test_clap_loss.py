import numpy as np
import pytest
import torch
from torch.nn import functional as F

from drcap.clap.loss import contrastive_loss, embedding_regularisation


def rows(count, dim=5, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, dim, generator=draw), dim=1)


def by_hand(audio, text, temperature, clip_ids):
    """Sum -q log p over every pair of rows, in float64, one row at a time."""
    cosines = audio.double().numpy() @ text.double().numpy().T
    total, count = 0.0, len(clip_ids)
    for scores in (cosines / temperature, cosines.T / temperature):
        for row in range(count):
            right = [
                other for other in range(count) if clip_ids[other] == clip_ids[row]
            ]
            log_normaliser = np.log(np.exp(scores[row]).sum())
            for other in right:
                total -= (scores[row, other] - log_normaliser) / len(right)
    return total / (2 * count)


@pytest.mark.parametrize(
    "clip_ids", [[0, 1, 2, 3, 4, 5], [7, 3, 7, 1, 3, 7], [2, 2, 2, 2, 2, 2]]
)
@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_the_loss_is_the_mean_over_rows_of_both_directions(clip_ids, temperature):
    audio, text = rows(6, seed=1), rows(6, seed=2)
    loss = contrastive_loss(audio, text, temperature, torch.tensor(clip_ids))
    expected = by_hand(audio, text, temperature, clip_ids)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_without_shared_clips_it_is_the_usual_cross_entropy():
    audio, text, clip_ids = rows(8, seed=1), rows(8, seed=2), torch.arange(8)
    cosines = audio @ text.T / 0.1
    usual = (
        F.cross_entropy(cosines, clip_ids) + F.cross_entropy(cosines.T, clip_ids)
    ) / 2
    torch.testing.assert_close(contrastive_loss(audio, text, 0.1, clip_ids), usual)


def test_the_loss_is_small_if_pairs_match_and_large_if_they_are_swapped():
    audio = torch.eye(4)
    matched = contrastive_loss(audio, audio, 0.05, torch.arange(4))
    swapped = contrastive_loss(audio, audio.flip(0), 0.05, torch.arange(4))
    assert matched < 1e-6 and swapped == pytest.approx(20, rel=1e-3)


def test_equal_embeddings_give_the_logarithm_of_the_batch():
    same = F.normalize(torch.ones(8, 3), dim=1)
    loss = contrastive_loss(same, same, 0.07, torch.arange(8))
    assert loss.item() == pytest.approx(np.log(8))


def test_neither_the_order_of_pairs_nor_swapping_the_modalities_matters():
    audio, text = rows(6, seed=1), rows(6, seed=2)
    clip_ids, order = torch.tensor([0, 1, 1, 2, 3, 0]), torch.tensor([3, 5, 0, 2, 4, 1])
    loss = contrastive_loss(audio, text, 0.2, clip_ids)
    shuffled = contrastive_loss(audio[order], text[order], 0.2, clip_ids[order])
    torch.testing.assert_close(shuffled, loss)
    torch.testing.assert_close(contrastive_loss(text, audio, 0.2, clip_ids), loss)


def test_the_gradient_agrees_with_finite_differences():
    clip_ids = torch.tensor([0, 1, 0, 2])
    inputs = (
        rows(4, seed=1).double().requires_grad_(),
        rows(4, seed=2).double().requires_grad_(),
        torch.tensor(0.3, dtype=torch.float64, requires_grad=True),
    )
    assert torch.autograd.gradcheck(
        lambda audio, text, tau: contrastive_loss(audio, text, tau, clip_ids), inputs
    )


def test_the_regularisation_is_the_mean_magnitude_over_the_norm():
    embeddings = torch.tensor([[3.0, 0.0], [0.0, -4.0]])
    assert embedding_regularisation(embeddings).item() == pytest.approx(7 / 4 / 5)
    torch.testing.assert_close(
        embedding_regularisation(10 * embeddings), embedding_regularisation(embeddings)
    )
