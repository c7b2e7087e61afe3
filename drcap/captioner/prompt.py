"""The prompt z = Concat(e_t, e_s, e_p) of sec. II-A as token ids with one audio slot.

The order follows the authors' code: retrieved captions, audio token, instruction.
`audio_token="first"` gives the order of the paper's formula, and `style="authors"` the
exact strings of their code, which the released weights expect (docs/authors_code.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn.utils.rnn import pad_sequence

from drcap.config import CaptionerConfig


@dataclass(frozen=True)
class Prompt:
    """Token ids of one prompt; the mapped embedding e_t replaces `ids[slot]`."""

    ids: list[int]
    slot: int


class PromptBuilder:
    """Turns retrieved captions and the instruction into prompts for one tokenizer."""

    def __init__(self, tokenizer, config: CaptionerConfig):
        self.tokenizer = tokenizer
        self.first = config.audio_token == "first"
        self.authors = config.style == "authors"
        self.end_id = tokenizer.eos_token_id
        start = tokenizer.bos_token_id
        self.start = [] if start is None else [start]
        blank = " " if self.authors else ""
        self.request = f"USER: {config.instruction}{blank}\n ASSISTANT:"
        self.instruction = self.start + self._tokens(self.request)

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt(self, similar_captions: Sequence[str]) -> Prompt:
        """Build the prompt of one clip from its retrieved captions (possibly none)."""
        if self.authors:
            joined = "".join(f"{text}. " for text in similar_captions)
        else:
            joined = " ".join(f"{text.rstrip('. ')}." for text in similar_captions)
        retrieved = [*self.start, *self._tokens(joined), self.end_id]
        slot = [self.end_id]  # any id: its embedding is replaced by e_t
        if self.first:
            return Prompt(slot + retrieved + self.instruction, 0)
        return Prompt(retrieved + slot + self.instruction, len(retrieved))

    def target(self, caption: str) -> list[int]:
        """Return the tokens that the loss sees: the caption's and the end token."""
        if not self.authors:
            return [*self._tokens(f" {caption}"), self.end_id]
        # no blank after the colon: the caption's first token depends on it
        whole, before = self._tokens(self.request + caption), self._tokens(self.request)
        return [*whole[len(before) :], self.end_id]


def pad(
    rows: Sequence[Sequence[int]], pad_id: int, side: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad B rows of ids on one side, "left" or "right": ids and mask, (B, T) int64."""
    ids = [torch.tensor(row, dtype=torch.long) for row in rows]
    mask = [torch.ones_like(row) for row in ids]
    return (
        pad_sequence(ids, True, padding_value=pad_id, padding_side=side),
        pad_sequence(mask, True, padding_value=0, padding_side=side),
    )
