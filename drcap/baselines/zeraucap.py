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
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from drcap import assets
from drcap.baselines.interface import Baseline, ClipBatch, TrainSet
from drcap.baselines.sound_events import SoundEvents
from drcap.captioner.prompt import pad
from drcap.config import ExperimentsConfig, ZerAuCapConfig
from drcap.devices import inference_dtype, resolve_device
from drcap.spaces import Space

ENDERS = (".", "!", "?")
PATIENCE = 0.1  # a step of the factor on a sentence's end, up to 1
TOGETHER = 16  # clips decoded at once


class ZerAuCap(Baseline):
    """The system of the paper's rows."""

    row = "ZerAuCap"
    settings_of = "zeraucap"

    def __init__(self, space: Space, events: SoundEvents | None = None):
        super().__init__(space)
        self.events = events or SoundEvents(space)
        self.known: dict[str, torch.Tensor] = {}  # text -> its embedding (D,)

    def fit(
        self,
        train_set: TrainSet,
        config: ExperimentsConfig,
        folder: Path,
        *,
        progress: bool = True,
    ) -> None:
        """Train nothing."""
        self.load(folder, config)

    def save(self, folder: Path) -> None:
        """Write nothing: there is nothing of its own."""

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        """Load the language model."""
        settings = config.captioner
        device = resolve_device()
        dtype = inference_dtype(device, settings.generation.dtype)
        source = assets.resolve_model(settings.captioner.language_model)
        self.llm = AutoModelForCausalLM.from_pretrained(source, dtype=dtype)
        self.llm = self.llm.to(device).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(source)
        self.config = config.baselines.zeraucap

    def caption(self, batch: ClipBatch) -> list[str]:
        """Return a caption for each clip."""
        audio = self.space.audio(batch.clips)
        near = self.events.nearest(audio, self.config.keywords)
        captions = []
        for start in range(0, len(audio), TOGETHER):
            part = slice(start, start + TOGETHER)
            prompts = [keyword_prompt(names) for names in near[part]]
            captions += self.decode(prompts, audio[part])
        return captions

    @torch.inference_mode()
    def decode(self, prompts: Sequence[str], audio: torch.Tensor) -> list[str]:
        """Go on from B prompts, guided by B audio embeddings (B, D)."""
        rows = [self.tokenizer(text)["input_ids"] for text in prompts]
        end = self.tokenizer.eos_token_id
        ids, mask = (each.to(self.llm.device) for each in pad(rows, end, "left"))
        said: list[list[int]] = [[] for _ in prompts]
        ended = torch.zeros(len(prompts), dtype=torch.bool)
        cache = None
        for step in range(1, self.config.max_new_tokens + 1):
            places = (mask.cumsum(1) - 1)[:, -ids.shape[1] :].clamp(min=0)
            read = self.llm(
                input_ids=ids,
                attention_mask=mask,
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            cache = read.past_key_values
            likely = read.logits[:, -1].float().softmax(dim=1).cpu()
            chosen = self.choose(likely, said, audio, step, self.config)
            for row, token in enumerate(chosen):
                if not ended[row]:
                    said[row].append(token)
            ended |= torch.tensor([self._ends(token) for token in chosen])
            if ended.all():
                break
            ids = torch.tensor(chosen, device=mask.device)[:, None]
            mask = torch.cat([mask, torch.ones_like(ids)], dim=1)
        return [self._text(tokens) for tokens in said]

    def choose(
        self,
        likely: torch.Tensor,
        said: Sequence[Sequence[int]],
        audio: torch.Tensor,
        step: int,
        config: ZerAuCapConfig,
    ) -> list[int]:
        """Return the next token of each of B texts.

        likely : the language model's probabilities, (B, V)
        said : the tokens so far      audio : (B, D)      step : from 1
        """
        if not config.weight:
            return likely.argmax(dim=1).tolist()
        chances, tokens = likely.topk(config.candidates, dim=1)  # (B, K)
        texts = [
            [self._text([*before, token]) for token in row]
            for before, row in zip(said, tokens.tolist(), strict=True)
        ]
        cosines = torch.stack(
            [self._embed(row) @ sound for row, sound in zip(texts, audio, strict=True)]
        )
        heard = (config.sharpness * cosines).softmax(dim=1)
        scores = chances + config.weight * heard
        ends = torch.tensor([[self._ends(t) for t in row] for row in tokens.tolist()])
        scores = torch.where(ends, scores * min(1.0, PATIENCE * step), scores)
        return tokens.gather(1, scores.argmax(dim=1, keepdim=True))[:, 0].tolist()

    def _embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return the text embeddings (K, D); each text is encoded once."""
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        self.known |= dict(zip(new, self.space.clap.encode_text(new), strict=True))
        return torch.stack([self.known[text] for text in texts])

    def _text(self, tokens: Sequence[int]) -> str:
        text = self.tokenizer.decode(tokens, skip_special_tokens=True)
        return " ".join(text.split())

    def _ends(self, token: int) -> bool:
        special = token in (self.tokenizer.eos_token_id, self.tokenizer.bos_token_id)
        return special or self.tokenizer.decode([token]).strip() in ENDERS


def keyword_prompt(names: Sequence[str]) -> str:
    """Return the prompt that names sound events and asks for the sound."""
    *others, last = [name.lower() for name in names]
    article = "an" if last[0] in "aeiou" else "a"
    listed = "".join(f"{name}, " for name in others)
    joined = "and " if others else ""
    return f"Objects: {listed}{joined}{article} {last}. This is a sound of"
