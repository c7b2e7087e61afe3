"""Beam search, or draws, for many prompts: grouped by length, padded on the left.

With left padding, and positions that follow from the mask, a caption does not change
with its neighbours in the batch. The language model reads a prompt once for all of its
beams. Checked against arg max token by token, and against reading it once a beam.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from drcap.captioner.model import Captioner
from drcap.captioner.prompt import pad
from drcap.captioner.sampling import drawing
from drcap.config import GenerationConfig


def generate(
    captioner: Captioner,
    embeddings: torch.Tensor,
    similar_captions: Sequence[Sequence[str]],
    config: GenerationConfig,
) -> list[str]:
    """Return the likeliest caption of B embeddings, as `generate_beams`."""
    beams = generate_beams(captioner, embeddings, similar_captions, config)
    return [texts[0] for texts in beams]


def generate_beams(
    captioner: Captioner,
    embeddings: torch.Tensor,
    similar_captions: Sequence[Sequence[str]],
    config: GenerationConfig,
) -> list[list[str]]:
    """Return the final beams of B embeddings (B, D), the likeliest first.

    With `config.sample` they are draws: `num_beams` of them for "mbr", else one.

    similar_captions : the retrieved captions of each prompt, possibly none
    """
    prompts = [captioner.prompts.prompt(texts) for texts in similar_captions]
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index].ids))
    captions: list[tuple[int, list[str]]] = []
    for start in range(0, len(prompts), config.batch_size):
        part = order[start : start + config.batch_size]
        batch = [prompts[index] for index in part]
        decoded = _decode(captioner, embeddings[part], batch, config)
        captions += zip(part, decoded, strict=True)
    return [beams for _, beams in sorted(captions)]


@torch.inference_mode()
def _decode(captioner, embeddings, prompts, config: GenerationConfig):
    end_id = captioner.prompts.end_id
    ids, mask = pad([prompt.ids for prompt in prompts], end_id, "left")
    ids, mask = ids.to(captioner.device), mask.to(captioner.device)
    slots = mask.argmax(1)  # where each prompt begins
    slots = slots + torch.tensor([p.slot for p in prompts], device=ids.device)
    inputs = captioner.embed(ids, slots, embeddings)  # (B, T, H)
    cache = _read(captioner, inputs[:, :-1], mask[:, :-1])
    count = config.num_beams if config.choice == "mbr" or not config.sample else 1
    if config.sample:
        inputs, mask = (rows.repeat_interleave(count, dim=0) for rows in (inputs, mask))
        search = {"logits_processor": drawing(prompts, count, config)}
    else:
        search = {"num_beams": count, "num_return_sequences": count}
        search["length_penalty"] = config.length_penalty
    tokens = captioner.causal_lm().generate(
        inputs_embeds=inputs,  # only the last position is still to be read
        attention_mask=mask,
        position_ids=_positions(mask),
        past_key_values=for_beams(cache, count, config.max_new_tokens),
        max_new_tokens=config.max_new_tokens,
        no_repeat_ngram_size=config.no_repeat_ngram,
        do_sample=False,  # draws are the arg max of noisy logits
        eos_token_id=end_id,
        pad_token_id=end_id,
        **search,
    )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    texts = [" ".join(text.split()) for text in texts]
    return [texts[start : start + count] for start in range(0, len(texts), count)]


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(1) - 1).clamp(min=0)


def _read(captioner: Captioner, inputs: torch.Tensor, mask: torch.Tensor):
    model = captioner.causal_lm()
    cache = DynamicCache(config=model.config)
    model.base_model(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=_positions(mask),
        past_key_values=cache,
        use_cache=True,
    )
    return cache


class BeamLayer(DynamicLayer):
    """A layer's keys and values of B prompts, (B, heads, T, width), for B * K beams.

    Beams of a clip share its prompt, so only their captions move from beam to beam.
    Transformers' own cache copies prompt and caption at every token, twice.

    layer : after reading the prompts      beams : K      room : tokens that may follow
    """

    def __init__(self, layer: DynamicLayer, beams: int, room: int):
        super().__init__()
        self.dtype, self.device = layer.keys.dtype, layer.keys.device
        self.is_initialized = True
        self.prompt = layer.get_seq_length()  # T
        self.states = [
            F.pad(rows.repeat_interleave(beams, dim=0), (0, 0, 0, room))
            for rows in (layer.keys, layer.values)
        ]
        self._show(self.prompt)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_, **__):
        """Add tokens (B * K, heads, n, width); RuntimeError where no room is left."""
        start, count = self.get_seq_length(), key_states.shape[-2]
        for states, new in zip(self.states, (key_states, value_states), strict=True):
            states.narrow(2, start, count).copy_(new)
        self._show(start + count)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Let each beam go on from the caption of another beam of its clip."""
        for rows in (self.keys, self.values):
            captions = rows[:, :, self.prompt :]
            captions.copy_(captions.index_select(0, beam_idx.to(rows.device)))

    def _show(self, length: int) -> None:
        self.keys, self.values = (states[:, :, :length] for states in self.states)


def for_beams(cache: DynamicCache, beams: int, room: int) -> DynamicCache:
    """Turn the cache of B prompts into that of B * K beams, each clip's in a row.

    Layers of other kinds, such as those with a sliding window, stay transformers' own.
    """
    if all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [BeamLayer(layer, beams, room) for layer in cache.layers]
    else:
        cache.batch_repeat_interleave(beams)
    return cache
