"""ZerAuCap: a language model guided by the sound, trained on nothing (Salewski, 2023).

The prompt names the sound events that are nearest to the recording. At each step the
likeliest next tokens are weighed by how near, in the CLAP space, the text that each
would make is to the recording; the best is taken.

As in its paper: the prompt, the score p_LM + weight * softmax(sharpness * cosine) over
the candidates, no penalty for repetition, the end of the sentence discouraged at first.
Not as there: CLAP and language model are the grid's, whose 135 million parameters in
the demo have a tenth of its OPT's; keywords are AudioSet's own names, one each.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LogitsProcessorList,
    StoppingCriteriaList,
)

from drcap import assets
from drcap.captioner.prompt import pad
from drcap.clap.yamnet import YAMNet
from drcap.config import ExperimentsConfig
from drcap.devices import inference_dtype, resolve_device
from drcap.joint_space import JointSpace
from drcap.systems.base import ClipBatch, Similar, System

ENDS = (".", "!", "?")
PATIENCE = 0.1  # a step of the factor on a sentence's end, up to 1
TOGETHER = 16  # clips decoded at once


class SoundEvents:
    """The classes of AudioSet that YAMNet knows, their names embedded as captions are.

    ZerAuCap's keywords, the hard prompt of Zhang et al., the posteriors of Prefix AAC.
    """

    def __init__(self, space: JointSpace):
        self.space = space

    @cached_property
    def names(self) -> list[str]:
        """C names, as AudioSet writes them."""
        return list(YAMNet(assets.asset_path("yamnet")).class_names)

    @cached_property
    def embeddings(self) -> torch.Tensor:
        """Text embeddings of the names, (C, D), unit rows."""
        return self.space.clap.encode_text([name.lower() for name in self.names])

    def nearest(self, embeddings: torch.Tensor, count: int) -> list[list[str]]:
        """Return the `count` names nearest to each of B embeddings (B, D)."""
        columns = (embeddings @ self.embeddings.T).topk(count, dim=1).indices
        return [[self.names[column] for column in row] for row in columns.tolist()]

    def posteriors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Return a softmax over similarities at the CLAP temperature, (B, C)."""
        similarities = embeddings @ self.embeddings.T
        return (similarities / self.space.clap.temperature).softmax(dim=1)


class ZerAuCap(System):
    """The system of the paper's rows."""

    settings_of = "zeraucap"

    def __init__(self, space: JointSpace):
        super().__init__(space)
        self.events = SoundEvents(space)
        self.known: dict[str, torch.Tensor] = {}  # text -> its embedding (D,)

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        """Load the language model; `folder` is not read."""
        device = resolve_device()
        dtype = inference_dtype(device, config.captioner.generation.dtype)
        source = assets.resolve_model(config.captioner.captioner.language_model)
        llm = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
        self.llm = llm.to(device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.config = config.baselines.zeraucap

    def captions(self, batch: ClipBatch, similar: Similar) -> list[str]:
        captions = []
        for audio in self.space.audio(batch.clips).split(TOGETHER):
            near = self.events.nearest(audio, self.config.keywords)
            captions += self.decode([keyword_prompt(names) for names in near], audio)
        return captions

    def decode(self, prompts: Sequence[str], audio: torch.Tensor) -> list[str]:
        """Continue B prompts, guided by B audio embeddings (B, D)."""
        rows = [self.tokenizer(text)["input_ids"] for text in prompts]
        end = self.tokenizer.eos_token_id
        ids, mask = (tensor.to(self.llm.device) for tensor in pad(rows, end, "left"))
        start = ids.shape[1]

        def guide(ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            likely = logits.float().softmax(dim=1).cpu()
            chosen = self.choose(likely, ids[:, start:].tolist(), audio)
            only = torch.full_like(logits, -torch.inf)
            return only.scatter_(1, chosen.to(logits.device), 0.0)

        def ended(ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            last = ids[:, -1].tolist()
            return torch.tensor([self._ends(token) for token in last]).to(ids.device)

        tokens = self.llm.generate(
            input_ids=ids,
            attention_mask=mask,
            do_sample=False,
            max_new_tokens=self.config.max_new_tokens,
            logits_processor=LogitsProcessorList([guide]),
            stopping_criteria=StoppingCriteriaList([ended]),
            eos_token_id=end,
            pad_token_id=end,
        )
        return [self._text(row) for row in tokens[:, start:].tolist()]

    def choose(
        self, likely: torch.Tensor, written: Sequence[list[int]], audio: torch.Tensor
    ) -> torch.Tensor:
        """Return the next token of each of B texts, (B, 1).

        likely : the language model's probabilities, (B, V)
        written : the tokens so far, as many of each text      audio : (B, D)
        """
        if not self.config.weight:
            return likely.argmax(dim=1, keepdim=True)
        chances, tokens = likely.topk(self.config.candidates, dim=1)  # (B, K)
        texts = [
            [self._text([*before, token]) for token in row]
            for before, row in zip(written, tokens.tolist(), strict=True)
        ]
        cosines = torch.stack(
            [self._embed(row) @ sound for row, sound in zip(texts, audio, strict=True)]
        )
        guidance = (self.config.sharpness * cosines).softmax(dim=1)
        scores = chances + self.config.weight * guidance
        ends = torch.tensor([[self._ends(t) for t in row] for row in tokens.tolist()])
        patience = min(1.0, PATIENCE * (1 + len(written[0])))
        scores = torch.where(ends, scores * patience, scores)
        return tokens.gather(1, scores.argmax(dim=1, keepdim=True))

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known |= dict(zip(new, self.space.clap.encode_text(new), strict=True))
        return torch.stack([self.known[text] for text in texts])

    def _text(self, tokens: Sequence[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return " ".join(text.split())

    def _ends(self, token: int) -> bool:
        special = token in (self.tokenizer.eos_token_id, self.tokenizer.bos_token_id)
        return special or self.tokenizer.decode([token]).strip() in ENDS


def keyword_prompt(names: Sequence[str]) -> str:
    """Return the prompt that names sound events and asks for the sound."""
    *others, last = [name.lower() for name in names]
    article = "an" if last[0] in "aeiou" else "a"
    listed = "".join(f"{name}, " for name in others)
    joined = "and " if others else ""
    return f"Objects: {listed}{joined}{article} {last}. This is a sound of"
