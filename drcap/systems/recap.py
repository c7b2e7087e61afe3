"""RECAP: retrieved captions in the prompt, the sound by cross-attention (Ghosh, 2024).

The captions nearest to a recording stand in the prompt; the frozen language model reads
the frames of the recording through new cross-attention layers in its blocks.
Supervised: trained on the recordings of the source corpus. Another datastore is another
domain, without training.

As in its paper: the prompt, three captions, retrieved from audio in training as at
inference and never a recording's own, heads of a quarter of the width, only the
cross-attention trained. Not as there: CLAP, language model, beam search and schedule
are the grid's, the learning rate its own; the frames are those of the same CLAP that
retrieves; a new layer starts at no effect, since a short schedule cannot repair a
disturbed language model; in the demo one block in three has such a layer.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn

from drcap.captioner.model import Captioner
from drcap.captioner.prompt import Prompt, PromptBuilder
from drcap.config import ExperimentsConfig
from drcap.data.clip import Clip
from drcap.systems.base import ClipBatch, Similar
from drcap.systems.language_model import SupervisedSystem

BEFORE, AFTER = "Similar audios sound like", "This audio sounds like"
SPARE = 15  # captions fetched for a clip, of which its own are left out


class SimilarAudios(PromptBuilder):
    """The prompt of retrieved captions; no soft token."""

    def prompt(self, similar_captions: Sequence[str]) -> Prompt:
        text = "\n\n".join([BEFORE, *similar_captions, AFTER])
        return Prompt([*self.start, *self._tokens(text)], 0)


class CrossAttention(nn.Module):
    """Attention from a block's states to frames: (B, T, H), (B, M, H) -> (B, T, H)."""

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
        query = self._split(self.query(self.norm(states.float())))
        key, value = self._split(self.key(frames)), self._split(self.value(frames))
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.output(attended.transpose(1, 2).flatten(2))

    def remember(self, block: nn.Module, arguments: tuple, keywords: dict) -> None:
        self.states = arguments[0] if arguments else keywords["hidden_states"]

    def _split(self, rows: torch.Tensor) -> torch.Tensor:
        return rows.unflatten(2, (self.heads, -1)).transpose(1, 2)


class CrossAttentions(nn.Module):
    """The cross-attention of several blocks, and the frames that they attend to now."""

    def __init__(self, shape, width: int, blocks: int, heads: int, reduction: int):
        super().__init__()
        self.shape = tuple(shape)
        self.input = nn.Linear(shape[1], width)
        self.attentions = nn.ModuleList(
            CrossAttention(width, heads, reduction) for _ in range(blocks)
        )
        self.frames: torch.Tensor | None = None

    def attach(self, blocks: Sequence[nn.Module]) -> None:
        """Add the cross-attention to these blocks, behind their self-attention."""
        for block, attention in zip(blocks, self.attentions, strict=True):
            block.register_forward_pre_hook(attention.remember, with_kwargs=True)
            block.self_attn.register_forward_hook(partial(self.add, attention))

    def add(self, attention: CrossAttention, module, arguments, output):
        """Add to what self-attention returns what its sum with the states attends."""
        attended, *rest = output
        states = attention.states + attended
        beams = len(states) // len(self.frames)  # of one clip, next to each other
        crossed = attention(states, self.frames.repeat_interleave(beams, dim=0))
        return (attended + crossed.to(attended.dtype), *rest)


class RECAPCaptioner(Captioner):
    """A frozen language model with trained cross-attention to the frames."""

    def __init__(self, llm, tokenizer, embedding_dim, config, settings):
        super().__init__(llm, tokenizer, embedding_dim, config, settings)
        self.mapper.attach(self.blocks())

    def blocks(self) -> Sequence[nn.Module]:
        """Return the blocks with cross-attention, the last among them."""
        every = self.settings[0].every
        return self.llm.base_model.layers[every - 1 :: every]

    def make_prompts(self) -> SimilarAudios:
        return SimilarAudios(self.tokenizer, self.config)

    def make_mapper(self, embedding_dim: int) -> CrossAttentions:
        (own, shape), model = self.settings, self.llm.config
        sizes = model.hidden_size, len(self.blocks()), model.num_attention_heads
        return CrossAttentions(shape, *sizes, own.reduction)

    def embed(self, ids, slots, embeddings) -> torch.Tensor:
        """Embed prompts (B, T); the blocks will attend to the frames of these rows."""
        mapper, rows = self.mapper, embeddings.to(self.device)
        mapper.frames = mapper.input(rows.view(len(rows), *mapper.shape))
        return self.llm.get_input_embeddings()(ids)

    def keep(self, stay: torch.Tensor) -> None:
        """Let the blocks attend to the frames of these clips alone."""
        self.mapper.frames = self.mapper.frames[stay]


class RECAP(SupervisedSystem):
    """The system of the paper's rows."""

    settings_of = "recap"
    captioner_class = RECAPCaptioner
    changes = {"captioner": {"mapper_start": "random", "lora": False}}

    def settings(self, config: ExperimentsConfig) -> object:
        self.top_k = config.baselines.recap.top_k
        return config.baselines.recap, self.space.frame_shape

    def rows(self, clips: Sequence[Clip]) -> torch.Tensor:
        """Return the frames of B clips, (B, T * C)."""
        return self.space.frames(clips).flatten(1)

    def training_texts(self, clips, captions):
        """Return the captions retrieved for clips, never their own."""
        nearest = self.retrieve(clips, captions, SPARE)
        return [
            [m.caption for m in row if m.caption not in clip.captions][: self.top_k]
            for clip, row in zip(clips, nearest, strict=True)
        ]

    def similar(self, batch: ClipBatch) -> Similar:
        return self.retrieve(batch.clips, batch.captions, self.top_k)

    def retrieve(self, clips, captions: Sequence[str], top_k: int) -> Similar:
        """Return those of `captions` that are nearest to each clip, nearest first."""
        allowed = set(captions)
        others = [text for text in self.space.captions if text not in allowed]
        return self.space.similar(clips, top_k, exclude=others)
