"""Beam search for many prompts: grouped by length, padded on the left.

With left padding and the positions that follow from the mask, a caption does not change
with its neighbours in the batch. A prompt is read once, however many beams go on from
it. Checked against arg max token by token, and against reading it once a beam.

`padding="right"` does what the authors' code did, to study the numbers that it gave: a
shorter prompt's first token is then predicted from its padding.
"""

from collections.abc import Sequence
from contextlib import contextmanager

import torch
from transformers import DynamicCache

from drcap.captioner.beam_cache import for_beams
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import pad
from drcap.config import GenerationConfig
from drcap.processes import Processes


def generate(
    captioner: Captioner,
    embeddings: torch.Tensor,
    similar_captions: Sequence[Sequence[str]],
    config: GenerationConfig,
    processes: Processes | None = None,
) -> list[str]:
    """Caption B embeddings (B, D), each with its retrieved captions (possibly none).

    processes : all with the same arguments, share the batches, which are those of one
        process, and get all captions in order
    """
    prompts = [captioner.prompts.prompt(texts) for texts in similar_captions]
    order = list(range(len(prompts)))
    if config.padding == "left":  # else a caption depends on its neighbours: keep them
        order.sort(key=lambda index: len(prompts[index].ids))
    mine = slice(0, None, 1)
    if processes is not None:
        mine = slice(processes.index, None, processes.count)
    placed: list[tuple[int, str]] = []
    for start in range(0, len(prompts), config.batch_size)[mine]:
        part = order[start : start + config.batch_size]
        decoded = _decode(
            captioner, embeddings[part], [prompts[index] for index in part], config
        )
        placed += zip(part, decoded, strict=True)
    if processes is not None:
        placed = processes.gather(placed)
    return [caption for _, caption in sorted(placed)]


@torch.inference_mode()
def _decode(captioner, embeddings, prompts, config) -> list[str]:
    end_id = captioner.prompts.end_id
    ids, mask = pad([prompt.ids for prompt in prompts], end_id, config.padding)
    ids, mask = ids.to(captioner.device), mask.to(captioner.device)
    slots = mask.argmax(1)  # where each prompt begins
    slots = slots + torch.tensor([p.slot for p in prompts], device=ids.device)
    inputs = captioner.embed(ids, slots, embeddings)  # (B, T, H)
    read = _read(captioner, inputs[:, :-1], mask[:, :-1])
    read = for_beams(read, config.num_beams, room=config.max_new_tokens)
    with _as_padded(captioner, mask, config):
        tokens = captioner.causal_lm().generate(
            inputs_embeds=inputs,  # of which only the last is still to be read
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
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
    """Return the language model's cache after reading (B, T, H) but its padding."""
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


@contextmanager
def _as_padded(captioner: Captioner, mask: torch.Tensor, config: GenerationConfig):
    """Let right padding that ends a row of (B, T) be read at position 1.

    So transformers 4.35 placed all that is masked; the tokens that follow stand where
    they would without padding.
    """
    padded = (mask[:, -1:] == 0).repeat_interleave(config.num_beams, dim=0)
    if not padded.any():
        yield
        return

    def place(module, args, inputs):
        hook.remove()  # only the first token is read from padding
        positions = inputs["position_ids"].masked_fill(padded, 1)
        return args, inputs | {"position_ids": positions}

    hook = captioner.causal_lm().register_forward_pre_hook(place, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
