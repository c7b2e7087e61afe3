"""Beam search for many prompts: grouped by length, padded on the left.

With left padding and the positions that follow from the mask, a caption does not change
with its neighbours in the batch.
"""

from collections.abc import Sequence

import torch

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
    tokens = captioner.causal_lm().generate(
        inputs_embeds=captioner.embed(ids, slots, embeddings),
        attention_mask=mask,
        num_beams=config.num_beams,
        max_new_tokens=config.max_new_tokens,
        length_penalty=config.length_penalty,
        do_sample=False,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    return [" ".join(text.split()) for text in texts]
