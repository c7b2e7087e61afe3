import pytest
import torch

from drcap.captioner.data import Batch
from drcap.captioner.prompt import Prompt
from drcap.captioner.shares import (
    caption_tokens,
    refuse_idle,
    seed_dropout,
    shares,
)
from drcap.errors import ConfigError
from drcap.processes import Processes


def process(count=1, index=0):
    processes = Processes("cpu")
    processes.count, processes.index = count, index
    return processes


@pytest.fixture
def batch():
    targets = [[1] * length for length in (2, 3, 4, 5, 6)]
    prompts = [Prompt([row], 0) for row in range(5)]
    return Batch(torch.arange(5.0)[:, None], prompts, targets)


def test_one_process_without_micro_batches_has_the_batch_as_it_is(batch):
    [part] = shares(batch, None, process())
    assert part.batch.targets == batch.targets
    assert (part.first, part.weight) == (0, 1.0)


@pytest.mark.parametrize("rows", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_every_row_is_in_one_weighted_part_and_all_have_equally_many(
    batch, rows, count
):
    each = [shares(batch, rows, process(count, index)) for index in range(count)]
    assert len({len(parts) for parts in each}) == 1
    weighted = [part for parts in each for part in parts if part.weight]
    rows = sorted(
        row for part in weighted for [row] in [p.ids for p in part_rows(part)]
    )
    assert rows == [0, 1, 2, 3, 4]
    assert sum(part.weight for part in weighted) == pytest.approx(1)
    for part in weighted:
        assert part.weight == pytest.approx(caption_tokens(part.batch) / 20)
        assert part.batch.embeddings[0, 0] == part.first


def part_rows(part):
    return part.batch.prompts


def test_a_part_draws_the_same_dropout_whoever_computes_it():
    def draw(*place):
        seed_dropout(*place)
        return torch.rand(3).tolist()

    assert draw(0, 7, 2) == draw(0, 7, 2)
    places = [(0, 7, 0), (0, 7, 2), (0, 7, 4), (0, 8, 2), (1, 7, 2)]
    assert len({tuple(draw(*place)) for place in places}) == len(places)


def test_the_first_part_draws_what_a_whole_batch_always_has():
    seed_dropout(3, 5, 0)
    drawn = torch.rand(3)
    torch.manual_seed(3 * 1_000_003 + 5)
    assert torch.equal(drawn, torch.rand(3))


def test_processes_that_would_be_idle_are_refused():
    refuse_idle(4, process(4))
    message = "batch_size: 4 cannot be shared by 5 processes; launch 4 or fewer"
    with pytest.raises(ConfigError, match=message):
        refuse_idle(4, process(5))
