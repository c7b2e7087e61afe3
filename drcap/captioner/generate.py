"""Beam search, or draws, for many prompts: grouped by length, padded on the left.

With left padding, and positions that follow from the mask, a caption does not change
with its neighbours in the batch. The language model reads a prompt once for all of its
beams. Checked against arg max token by token, and against reading it once a beam.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from drcap.captioner.beam_search import beam_search, for_beams, positions
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
    if count > 1 and not config.sample:
        last = inputs[:, -1:]  # still to be read
        tokens = beam_search(captioner, last, mask, cache, config).flatten(0, 1)
    else:
        tokens = _greedily(captioner, inputs, mask, cache, prompts, count, config)
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    texts = [" ".join(text.split()) for text in texts]
    return [texts[start : start + count] for start in range(0, len(texts), count)]


def _greedily(captioner, inputs, mask, cache, prompts, count, config):
    """Take the likeliest token at each step; draws are the likeliest of noisy ones."""
    inputs, mask = (rows.repeat_interleave(count, dim=0) for rows in (inputs, mask))
    return captioner.causal_lm().generate(
        inputs_embeds=inputs,  # only the last position is still to be read
        attention_mask=mask,
        position_ids=positions(mask),
        past_key_values=for_beams(cache, count, config.max_new_tokens),
        max_new_tokens=config.max_new_tokens,
        no_repeat_ngram_size=config.no_repeat_ngram,
        logits_processor=drawing(prompts, count, config) if config.sample else None,
        num_beams=1,
        do_sample=False,
        eos_token_id=captioner.prompts.end_id,
        pad_token_id=captioner.prompts.end_id,
    )


def _read(captioner: Captioner, inputs: torch.Tensor, mask: torch.Tensor):
    model = captioner.causal_lm()
    cache = DynamicCache(config=model.config)
    model.base_model(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=positions(mask),
        past_key_values=cache,
        use_cache=True,
    )
    return cache
