"""What the language model keeps of a prompt and of the captions that beams make of it.

A beam that goes on from another one of its clip takes over that one's caption; of the
prompt both have read the same. So each layer's keys and values lie in place, with room
for the longest caption, and only the captions' part is moved: transformers' own cache
copies all of it at every token, twice.
"""

import torch
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer


class BeamLayer(DynamicLayer):
    """A layer's keys and values of B prompts, (B, heads, T, width), for B * K beams.

    read : what the layer keeps of the prompts        beams : K
    room : how many tokens may follow
    """

    def __init__(self, read: DynamicLayer, beams: int, room: int):
        super().__init__()
        self.dtype, self.device = read.keys.dtype, read.keys.device
        self.is_initialized = True
        self.prompt = read.get_seq_length()  # T
        self._keys = _with_room(read.keys, beams, room)
        self._values = _with_room(read.values, beams, room)
        self._show(self.prompt)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_, **__):
        """Add tokens (B * K, heads, n, width); return all keys and values so far.

        RuntimeError where there is no room left for them.
        """
        start, count = self.get_seq_length(), key_states.shape[-2]
        self._keys.narrow(2, start, count).copy_(key_states)
        self._values.narrow(2, start, count).copy_(value_states)
        self._show(start + count)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Let each beam go on from the caption of another one of its clip."""
        for kept in (self.keys, self.values):
            captions = kept[:, :, self.prompt :]
            captions.copy_(captions.index_select(0, beam_idx.to(kept.device)))

    def _show(self, length: int) -> None:
        self.keys = self._keys[:, :, :length]
        self.values = self._values[:, :, :length]


def for_beams(read: DynamicCache, beams: int, room: int) -> DynamicCache:
    """Turn the cache of B prompts into that of B * K beams, each clip's in a row.

    A layer of another kind than transformers' plain one, such as one with a sliding
    window, stays of its kind.
    """
    if all(type(layer) is DynamicLayer for layer in read.layers):
        read.layers = [BeamLayer(layer, beams, room) for layer in read.layers]
    else:
        read.batch_repeat_interleave(beams)
    return read


def _with_room(read: torch.Tensor, beams: int, room: int) -> torch.Tensor:
    rows, heads, length, width = read.shape
    kept = read.new_empty(rows * beams, heads, length + room, width)
    kept[:, :, :length] = read.repeat_interleave(beams, dim=0)
    return kept
