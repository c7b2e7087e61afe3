"""RECAP: retrieved captions in the prompt, the sound by cross-attention (Ghosh, 2024).

The captions nearest to a recording stand in the prompt; the frozen language model hears
the recording itself through new cross-attention layers in its blocks.
Supervised: trained on the recordings of the source corpus. Another datastore is another
domain, without training.

As in its paper: the prompt, three captions, retrieved from audio in training as at
inference and never a recording's own, heads of a quarter of the width, only the
cross-attention trained. Not as there: CLAP, language model, beam search and schedule
are the grid's, the learning rate its own; the frames are those of the same CLAP that
retrieves; a new layer starts at no effect, since a short schedule cannot repair a
disturbed language model; in the demo one block in three has such a layer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from drcap.baselines.interface import ClipBatch, TrainSet
from drcap.baselines.language_model import (
    LanguageModelBaseline,
    PairExamples,
    hold_out_clips,
)
from drcap.captioner.data import Examples
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import Prompt, PromptBuilder
from drcap.config import Config, ExperimentsConfig
from drcap.data.captions import Clip
from drcap.spaces import Space

BEFORE, AFTER = "Similar audios sound like", "This audio sounds like"
SPARE = 15  # captions fetched for a clip, of which its own are left out


class SimilarAudios(PromptBuilder):
    """The prompt of retrieved captions; no soft token."""

    def prompt(self, similar_captions: Sequence[str]) -> Prompt:
        """Lay out the captions, and the beginning of the answer."""
        parts = [BEFORE, *similar_captions, AFTER]
        text = "\n\n".join(parts)
        return Prompt([*self.start, *self._tokens(text)], 0)


class CrossAttention(nn.Module):
    """What the states of a block hear in the frames: (B, T, H), (B, M, H) -> (B, T, H).

    heads : as the language model has        reduction : of a head's width
    """

    def __init__(self, width: int, heads: int, reduction: int):
        super().__init__()
        self.heads = heads
        inner = heads * max(1, width // heads // reduction)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, inner, bias=False)
        self.key = nn.Linear(width, inner, bias=False)
        self.value = nn.Linear(width, inner, bias=False)
        self.output = nn.Linear(inner, width, bias=False)
        nn.init.zeros_(self.output.weight)

    def forward(self, states: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        """Attend from the states to the frames of their own rows."""
        query = self._split(self.query(self.norm(states.float())))
        key, value = self._split(self.key(frames)), self._split(self.value(frames))
        heard = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.output(heard.transpose(1, 2).flatten(2))

    def _split(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)


class Hearing(nn.Module):
    """The cross-attention of every block, and the frames that they attend to now.

    shape : (T, C) of the frames
    """

    def __init__(self, shape, width: int, blocks: int, heads: int, reduction: int):
        super().__init__()
        self.shape = tuple(shape)
        self.input = nn.Linear(shape[1], width)
        self.attentions = nn.ModuleList(
            CrossAttention(width, heads, reduction) for _ in range(blocks)
        )
        self.frames: torch.Tensor | None = None

    def listen(self, rows: torch.Tensor) -> None:
        """Take the frames of B clips, (B, T * C)."""
        self.frames = self.input(rows.view(len(rows), *self.shape))

    def attach(self, blocks: Sequence[nn.Module]) -> None:
        """Add to these blocks, behind their self-attention, what they hear."""
        for block, attention in zip(blocks, self.attentions, strict=True):
            _Sublayer(self, attention, block)


class _Sublayer:
    """Hooks on one block: self-attention's output plus what is heard at its result."""

    def __init__(self, hearing: Hearing, attention: CrossAttention, block: nn.Module):
        self.hearing, self.attention = hearing, attention
        block.register_forward_pre_hook(self.before, with_kwargs=True)
        block.self_attn.register_forward_hook(self.after)

    def before(self, module, arguments, keywords):
        self.states = arguments[0] if arguments else keywords["hidden_states"]

    def after(self, module, arguments, output):
        attended, *rest = output
        states = self.states + attended
        frames = self.hearing.frames
        beams = len(states) // len(frames)  # of one clip, next to each other
        heard = self.attention(states, frames.repeat_interleave(beams, dim=0))
        return (attended + heard.to(attended.dtype), *rest)


class RECAPCaptioner(Captioner):
    """A frozen language model that hears by cross-attention."""

    def __init__(self, llm, tokenizer, embedding_dim, config, settings):
        super().__init__(llm, tokenizer, embedding_dim, config, settings)
        self.mapper.attach(self.blocks())

    def blocks(self) -> Sequence[nn.Module]:
        """Return the language model's blocks that hear, the last among them."""
        every = self.settings[0].every
        return self.llm.base_model.layers[every - 1 :: every]

    def make_prompts(self) -> SimilarAudios:
        """Return the layout of retrieved captions."""
        return SimilarAudios(self.tokenizer, self.config)

    def make_mapper(self, embedding_dim: int) -> Hearing:
        """Return the cross-attention of the blocks."""
        own, shape = self.settings
        model = self.llm.config
        return Hearing(
            shape,
            model.hidden_size,
            len(self.blocks()),
            model.num_attention_heads,
            own.reduction,
        )

    def embed(
        self, ids: torch.Tensor, slots: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        """Embed prompts (B, T); every block will hear the frames of the rows."""
        self.mapper.listen(embeddings.to(self.device))
        return self.llm.get_input_embeddings()(ids)


class RECAP(LanguageModelBaseline):
    """The system of the paper's rows."""

    row = "RECAP"
    settings_of = "recap"
    supervised = True
    captioner_class = RECAPCaptioner
    changes: Mapping[str, Any] = {
        "captioner": {"lora": False, "mapper_start": "random"},
    }

    def settings(self, config: ExperimentsConfig):
        """Return what cross-attention is built of, and the frames' shape."""
        self.top_k = config.baselines.recap.top_k
        return config.baselines.recap, self.space.frame_shape

    def examples(
        self, train_set: TrainSet, captioner: Captioner, config: Config
    ) -> tuple[Examples, Examples]:
        """Return the pairs of the source corpus with what is retrieved for them."""
        frames = self.space.frames(train_set.clips).flatten(1)
        found = retrieved(self.space, train_set.clips, train_set.captions, SPARE)
        found = [
            [text for text in texts if text not in clip.captions][: self.top_k]
            for clip, texts in zip(train_set.clips, found, strict=True)
        ]
        parts = hold_out_clips(
            train_set.clips, config.training.validation_captions, config.seed
        )
        return tuple(
            RetrievedExamples(
                [train_set.clips[row] for row in part],
                captioner.prompts,
                frames[part],
                [found[row] for row in part],
            )
            for part in parts
        )

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        """Return the frames of the clips."""
        return self.space.frames(batch.clips).flatten(1)

    def texts(self, batch: ClipBatch) -> list[list[str]]:
        """Return the captions nearest to the clips in their domain's datastore."""
        return retrieved(self.space, batch.clips, batch.captions, self.top_k)


class RetrievedExamples(PairExamples):
    """Pairs, and the captions retrieved for each clip."""

    def __init__(self, clips, prompts, rows, found: Sequence[Sequence[str]]):
        super().__init__(clips, prompts, rows)
        self.found = found

    def similar(self, indices: Sequence[int], seed: int) -> list[list[str]]:
        """Return what was retrieved for the clips of these captions."""
        return [self.found[self.clip_of[index]] for index in indices]


def retrieved(
    space: Space, clips: Sequence[Clip], captions: Sequence[str], top_k: int
) -> list[list[str]]:
    """Return those of `captions` that are nearest to each clip, nearest first."""
    allowed = set(captions)
    others = [text for text in space.captions if text not in allowed]
    found = space.similar(clips, top_k, exclude=others)
    return [[match.caption for match in matches] for matches in found]
