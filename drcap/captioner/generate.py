"""Beam search for many prompts: grouped by length, padded on the left.

With left padding and the positions that follow from the mask, a caption does not change
with its neighbours in the batch. A prompt is read once, however many beams go on from
it. Checked against arg max token by token, and against reading it once a beam.
"""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from drcap.captioner.model import Captioner
from drcap.captioner.prompt import pad
from drcap.config import GenerationConfig


def generate(
    captioner: Captioner,
    embeddings: torch.Tensor,
    similar_captions: Sequence[Sequence[str]],
    config: GenerationConfig,
) -> list[str]:
    """Caption B embeddings (B, D), each with its retrieved captions (possibly none)."""
    prompts = [captioner.prompts.prompt(texts) for texts in similar_captions]
    by_length = sorted(range(len(prompts)), key=lambda index: len(prompts[index].ids))
    captions = [""] * len(prompts)
    for start in range(0, len(prompts), config.batch_size):
        part = by_length[start : start + config.batch_size]
        decoded = _decode(
            captioner, embeddings[part], [prompts[index] for index in part], config
        )
        for index, caption in zip(part, decoded, strict=True):
            captions[index] = caption
    return captions


@torch.inference_mode()
def _decode(captioner, embeddings, prompts, config) -> list[str]:
    end_id = captioner.prompts.end_id
    ids, mask = pad([prompt.ids for prompt in prompts], end_id, "left")
    ids, mask = ids.to(captioner.device), mask.to(captioner.device)
    padding = ids.shape[1] - mask.sum(1)
    slots = padding + torch.tensor([p.slot for p in prompts], device=ids.device)
    inputs = captioner.embed(ids, slots, embeddings)  # (B, T, H)
    read = _read(captioner, inputs[:, :-1], mask[:, :-1])
    read.batch_repeat_interleave(config.num_beams)
    tokens = captioner.causal_lm().generate(
        inputs_embeds=inputs,  # of which only the last is still to be read
        attention_mask=mask,
        past_key_values=read,
        num_beams=config.num_beams,
        max_new_tokens=config.max_new_tokens,
        length_penalty=config.length_penalty,
        no_repeat_ngram_size=config.no_repeat_ngram,
        do_sample=False,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]


def _read(captioner: Captioner, inputs: torch.Tensor, mask: torch.Tensor):
    """Return the language model's cache after reading (B, T, H), padded on the left."""
    model = captioner.causal_lm()
    cache = DynamicCache(config=model.config)
    model.base_model(
        inputs_embeds=inputs,
        attention_mask=mask,
        position_ids=(mask.cumsum(1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    )
    return cache
