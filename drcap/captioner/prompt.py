"""The prompt z = Concat(e_t, e_s, e_p) of sec. II-A, as token ids with one audio slot.

Laid out as the authors' code does by default: retrieved captions, the audio token, the
instruction. `audio_token="first"` gives the order of the paper's formula instead, and
`style="authors"` the very strings of their code, as the released weights expect them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from drcap.config import CaptionerConfig


@dataclass(frozen=True)
class Prompt:
    """Token ids of one prompt; `ids[slot]` stands for the mapped embedding e_t."""

    ids: list[int]
    slot: int


class PromptBuilder:
    """Turn retrieved captions and the instruction into prompts for one tokenizer."""

    def __init__(self, tokenizer, config: CaptionerConfig):
        self.tokenizer = tokenizer
        self.first = config.audio_token == "first"
        self.end_id = tokenizer.eos_token_id
        start = tokenizer.bos_token_id
        self.start = [] if start is None else [start]
        self.request = self._request(config.instruction)
        self.instruction = self.start + self._tokens(self.request)

    def _tokens(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def prompt(self, similar_captions: Sequence[str]) -> Prompt:
        """Build the prompt of one clip from its retrieved captions (possibly none)."""
        sentences = self._tokens(self._joined(similar_captions))
        retrieved = [*self.start, *sentences, self.end_id]
        slot = [self.end_id]  # any id: its embedding is replaced by e_t
        if self.first:
            return Prompt(slot + retrieved + self.instruction, 0)
        return Prompt(retrieved + slot + self.instruction, len(retrieved))

    def target(self, caption: str) -> list[int]:
        """Return the caption's tokens and the end token: all that the loss sees."""
        return [*self._tokens(f" {caption}"), self.end_id]

    def _request(self, instruction: str) -> str:
        return f"USER: {instruction}\n ASSISTANT:"

    def _joined(self, similar_captions: Sequence[str]) -> str:
        return " ".join(f"{text.rstrip('. ')}." for text in similar_captions)


class AuthorsPrompts(PromptBuilder):
    """The very strings of the authors' code; docs/authors_code.md says what differs."""

    def target(self, caption: str) -> list[int]:
        """Return the caption's tokens and the end token.

        Nothing stands between the colon and the caption, so that its first word's
        tokens depend on the colon: both are tokenised together.
        """
        whole, before = self._tokens(self.request + caption), self._tokens(self.request)
        return [*whole[len(before) :], self.end_id]

    def _request(self, instruction: str) -> str:
        return f"USER: {instruction} \n ASSISTANT:"

    def _joined(self, similar_captions: Sequence[str]) -> str:
        return "".join(f"{text}. " for text in similar_captions)


def prompt_builder(tokenizer, config: CaptionerConfig) -> PromptBuilder:
    """Return what lays out prompts in the style that is configured."""
    kinds = {"ours": PromptBuilder, "authors": AuthorsPrompts}
    return kinds[config.style](tokenizer, config)


def pad(
    rows: Sequence[Sequence[int]], pad_id: int, side: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad B rows of ids to (B, T) int64 on one side; returns them and their mask."""
    length = max(len(row) for row in rows)
    ids = torch.full((len(rows), length), pad_id, dtype=torch.long)
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for index, row in enumerate(rows):
        where = slice(length - len(row), None) if side == "left" else slice(len(row))
        ids[index, where] = torch.tensor(row, dtype=torch.long)
        mask[index, where] = 1
    return ids, mask
