import pytest
import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from drcap.captioner.beam_search import BeamLayer, for_beams

CLIPS, BEAMS, HEADS, LENGTH, WIDTH, ROOM = 2, 3, 2, 5, 4, 6
ROWS = CLIPS * BEAMS


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def states(generator, rows, tokens):
    shape = (rows, HEADS, tokens, WIDTH)
    return [torch.randn(shape, generator=generator) for _ in range(2)]


def read_prompts(generator, kinds=(DynamicLayer, DynamicLayer)):
    cache = DynamicCache()
    cache.layers = [kind() for kind in kinds]
    for layer in range(len(kinds)):
        cache.update(*states(generator, CLIPS, LENGTH), layer)
    return cache


def within_clips(generator):
    """Draw which beam of its clip each beam goes on from, (ROWS,)."""
    chosen = torch.randint(BEAMS, (CLIPS, BEAMS), generator=generator)
    return (chosen + BEAMS * torch.arange(CLIPS)[:, None]).flatten()


def test_keys_and_values_are_those_of_transformers_own_cache(generator):
    plain = read_prompts(generator)
    ours = for_beams(read_prompts(torch.Generator().manual_seed(0)), BEAMS, ROOM)
    plain.batch_repeat_interleave(BEAMS)
    for _ in range(ROOM):
        for layer in range(2):
            new = states(generator, ROWS, 1)
            expected = plain.update(*new, layer)
            for ours_, theirs in zip(ours.update(*new, layer), expected, strict=True):
                torch.testing.assert_close(ours_, theirs, rtol=0, atol=0)
        assert ours.get_seq_length() == plain.get_seq_length()
        assert ours.get_mask_sizes(1, 0) == plain.get_mask_sizes(1, 0)
        beams = within_clips(generator)
        plain.reorder_cache(beams)
        ours.reorder_cache(beams)


def test_the_prompt_is_neither_copied_nor_moved(generator):
    cache = for_beams(read_prompts(generator), BEAMS, ROOM)
    [layer, _] = cache.layers
    assert isinstance(layer, BeamLayer)
    place, prompt = layer.keys.data_ptr(), layer.keys.clone()
    for _ in range(ROOM):
        keys, _ = layer.update(*states(generator, ROWS, 1))
        layer.reorder_cache(within_clips(generator))
        assert keys.data_ptr() == place
    torch.testing.assert_close(layer.keys[:, :, :LENGTH], prompt, rtol=0, atol=0)


def test_clips_that_leave_take_their_rows_along(generator):
    plain = read_prompts(generator)
    ours = for_beams(read_prompts(torch.Generator().manual_seed(0)), BEAMS, ROOM)
    plain.batch_repeat_interleave(BEAMS)
    left = within_clips(generator)[BEAMS:]
    for beams in (None, left, torch.tensor([2, 2, 0])):
        if beams is not None:
            plain.reorder_cache(beams)
            ours.reorder_cache(beams)
        new = states(generator, ROWS if beams is None else BEAMS, 1)
        for layer in range(2):
            expected = plain.update(*new, layer)
            for ours_, theirs in zip(ours.update(*new, layer), expected, strict=True):
                torch.testing.assert_close(ours_, theirs, rtol=0, atol=0)


def test_no_token_is_lost_beyond_the_room(generator):
    [layer, _] = for_beams(read_prompts(generator), BEAMS, room=1).layers
    layer.update(*states(generator, ROWS, 1))
    with pytest.raises(RuntimeError):
        layer.update(*states(generator, ROWS, 1))


def test_a_layer_with_a_window_stays_of_its_kind(generator):
    kinds = (lambda: DynamicSlidingWindowLayer(sliding_window=4), DynamicLayer)
    cache = for_beams(read_prompts(generator, kinds), BEAMS, ROOM)
    types = [type(layer) for layer in cache.layers]
    assert types == [DynamicSlidingWindowLayer, DynamicLayer]
    assert {len(layer.keys) for layer in cache.layers} == {ROWS}
