"""WSAC: weakly-supervised audio captioning by text alone (Kouzelis, Katsouros, 2023).

A decoder learns to write a caption from its CLAP text embedding, one soft token by one
linear layer, with Gaussian noise on the embedding. At inference it is given an audio
embedding, as it is or carried over by one of three bridges.

As in its paper: the single linear layer, noise of variance 0.001 and renormalisation in
training, a four-layer decoder from scratch, no prompt, the memory of its own training
captions with renormalised rows. Not as there: the CLAP model, the tokenizer and the
beam search are the grid's; the softmax over the memory has the CLAP model's own
temperature in the place of 1/100; the shift is from the mean of the clips that are
captioned, as no training recording is heard; the state of the lowest validation loss is
kept in the place of the last. `SharedWSAC` is the same with the grid's language model,
and `NoisyDRCap` is DRCap with this noise in the place of projection-based decoding.
"""

from pathlib import Path

import torch
from safetensors.torch import load_model, save_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from drcap import assets
from drcap.captioner.model import Captioner
from drcap.config import Config, ExperimentsConfig, override
from drcap.modality_gap import mean_shift
from drcap.projection import project
from drcap.systems.base import ClipBatch
from drcap.systems.drcap import DRCap
from drcap.systems.language_model import (
    NO_RETRIEVAL,
    LanguageModelSystem,
    PrefixPrompts,
)

WEIGHTS = "model.safetensors"


class OneTokenCaptioner(Captioner):
    """A language model that reads one soft token and nothing else."""

    def make_prompts(self) -> PrefixPrompts:
        return PrefixPrompts(self.tokenizer, self.config, 1)


class ScratchCaptioner(OneTokenCaptioner):
    """The same with a small decoder whose every weight is trained, in float32."""

    def __init__(self, llm, tokenizer, embedding_dim, config, settings):
        super().__init__(llm, tokenizer, embedding_dim, config, settings)
        self.llm.requires_grad_(True)

    @classmethod
    def language_model(cls, config, dtype, attention, settings):
        source = assets.resolve_model(config.language_model)
        tokenizer = AutoTokenizer.from_pretrained(source)
        architecture = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.width,
            intermediate_size=4 * settings.width,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            attn_implementation=attention,
        )
        return LlamaForCausalLM(architecture), tokenizer

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self, str(folder / WEIGHTS))

    @classmethod
    def load(cls, folder, embedding_dim, config, dtype, settings=None):
        captioner = cls.create(embedding_dim, config, dtype, settings, "sdpa")
        load_model(captioner, str(folder / WEIGHTS))
        return captioner.requires_grad_(False).eval()


class WSAC(LanguageModelSystem):
    """The system of the paper's rows, trained from scratch."""

    settings_of = "wsac"
    captioner_class: type[Captioner] = ScratchCaptioner
    # its decoder knows no words to start the mapper from, and has no adapter
    changes = NO_RETRIEVAL | {"captioner": {"mapper_start": "random", "lora": False}}

    def recipe(self, config: ExperimentsConfig) -> Config:
        """Return the recipe with a schedule for a decoder that knows no language."""
        own = config.baselines.wsac
        often = max(1, own.steps // 8)
        schedule = {
            "steps": own.steps,
            "batch_size": own.batch_size,
            "peak_learning_rate": own.peak_learning_rate,
            "warmup_steps": min(100, own.steps),
            "validate_every": often,
            "save_every": often,
        }
        return override(config.captioner, {**self.changes, "training": schedule})

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        """Return audio embeddings, carried over to text as the settings say."""
        audio = self.space.audio(batch.clips)
        bridge = self.captioner.settings.bridge
        if bridge == "audio":
            return audio
        memory = torch.from_numpy(self.space.text(self.memory))
        if bridge == "nearest":
            return memory[(audio @ memory.T).argmax(dim=1)]
        if bridge == "shift":
            means = audio.mean(dim=0).numpy(), memory.mean(dim=0).numpy()
            return torch.from_numpy(mean_shift(audio.numpy(), *means))
        return project(audio, memory, self.space.clap.temperature, renormalise=True)


class SharedWSAC(WSAC):
    """WSAC with the grid's language model and adapter: its method alone."""

    captioner_class = OneTokenCaptioner
    changes = NO_RETRIEVAL

    def recipe(self, config: ExperimentsConfig) -> Config:
        return override(config.captioner, dict(self.changes))


class NoisyDRCap(DRCap):
    """DRCap, trained with noise; its mapper reads E_a itself at inference."""

    settings_of = "noise"
    changes = {"projection": {"enabled": False}}
