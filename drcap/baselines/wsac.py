"""WSAC: weakly-supervised audio captioning by text alone (Kouzelis, Katsouros, 2023).

A decoder learns to say a caption from its CLAP text embedding, one soft token by one
linear layer, with Gaussian noise on the embedding. At inference it is given an audio
embedding, as it is or carried over by one of three bridges.

As in its paper: the single linear layer, noise of variance 0.001 and renormalisation in
training, a four-layer decoder from scratch, no prompt, the memory of its own training
captions with renormalised rows. Not as there: the CLAP model, the tokenizer and the
beam search are the grid's; the softmax over the memory has the CLAP model's own
temperature in the place of 1/100; the state of the lowest validation loss is kept in
the place of the last. `SharedWSAC` is the same with the grid's language model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_model, save_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from drcap import assets
from drcap.baselines.interface import ClipBatch, TrainSet
from drcap.baselines.language_model import LanguageModelBaseline, PrefixPrompts
from drcap.baselines.noise import noisy_examples
from drcap.captioner.data import Examples
from drcap.captioner.model import Captioner
from drcap.config import Config, ExperimentsConfig, WSACConfig, override
from drcap.modality_gap import mean_shift
from drcap.projection import project

WEIGHTS = "model.safetensors"
WITHOUT_RETRIEVAL = {"retrieval": {"enabled": False}}


class OneTokenCaptioner(Captioner):
    """A language model that reads one soft token and nothing else."""

    def make_prompts(self) -> PrefixPrompts:
        """Return prompts of the soft token alone."""
        return PrefixPrompts(self.tokenizer, self.config, 1)


class ScratchCaptioner(OneTokenCaptioner):
    """The same with a small decoder whose every weight is trained, in float32."""

    def __init__(self, llm, tokenizer, embedding_dim, config, settings):
        super().__init__(llm, tokenizer, embedding_dim, config, settings)
        self.llm.requires_grad_(True)

    @classmethod
    def _with_language_model(
        cls, embedding_dim, config, dtype, settings, attention="sdpa"
    ) -> "ScratchCaptioner":
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
        llm = LlamaForCausalLM(architecture)
        return cls(llm, tokenizer, embedding_dim, config, settings)

    def save(self, folder: Path) -> None:
        """Write every weight."""
        folder.mkdir(parents=True, exist_ok=True)
        save_model(self, str(folder / WEIGHTS))

    @classmethod
    def load(cls, folder, embedding_dim, config, dtype, settings=None):
        """Load what `save` wrote, in float32."""
        captioner = cls._with_language_model(embedding_dim, config, dtype, settings)
        load_model(captioner, str(folder / WEIGHTS))
        return captioner.requires_grad_(False).eval()


class WSAC(LanguageModelBaseline):
    """The system of the paper's rows, trained from scratch."""

    row = "WSAC"
    settings_of = "wsac"
    captioner_class: type[Captioner] = ScratchCaptioner

    def settings(self, config: ExperimentsConfig) -> WSACConfig:
        """Return decoder, noise and bridge."""
        return config.baselines.wsac

    def recipe(self, config: ExperimentsConfig) -> Config:
        """Return the recipe with a schedule for a decoder that knows no language."""
        own = config.baselines.wsac
        schedule = {
            "steps": own.steps,
            "batch_size": own.batch_size,
            "peak_learning_rate": own.peak_learning_rate,
            "warmup_steps": min(100, own.steps),
            "validate_every": max(1, own.steps // 8),
            "save_every": max(1, own.steps // 8),
        }
        changes = {
            "captioner": {"lora": False, "mapper_start": "random"},
            "training": schedule,
        }
        return override(config.captioner, WITHOUT_RETRIEVAL | changes)

    def examples(
        self, train_set: TrainSet, captioner: Captioner, config: Config
    ) -> tuple[Examples, Examples]:
        """Return captions with noisy text embeddings."""
        self.audio_mean = None
        if captioner.settings.bridge == "shift":  # alone, by unlabelled recordings
            self.audio_mean = self.space.audio(train_set.clips).mean(dim=0).tolist()
        variance = captioner.settings.noise_variance
        return noisy_examples(train_set, self.space, captioner, config, variance)

    def memory(self) -> dict[str, Any]:
        """Return the training captions, and the recordings' centroid if it is known."""
        return {"captions": self.captions, "audio_mean": self.audio_mean}

    def recall(self, memory: Mapping[str, Any]) -> None:
        """Take back what `memory` gave."""
        self.captions, self.audio_mean = memory["captions"], memory["audio_mean"]

    def inputs(self, batch: ClipBatch) -> torch.Tensor:
        """Return audio embeddings, carried over to text as the settings say."""
        audio = self.space.audio(batch.clips)
        bridge = self.captioner.settings.bridge
        if bridge == "audio":
            return audio
        memory = torch.from_numpy(self.space.text(self.captions))
        if bridge == "nearest":
            return memory[(audio @ memory.T).argmax(dim=1)]
        if bridge == "shift":
            means = np.array(self.audio_mean), memory.mean(dim=0).numpy()
            return torch.from_numpy(mean_shift(audio.numpy(), *means))
        return project(audio, memory, self.space.clap.temperature, renormalise=True)


class SharedWSAC(WSAC):
    """WSAC with the grid's language model and adapter: its method alone."""

    row = "WSAC, shared LM"
    captioner_class = OneTokenCaptioner

    def recipe(self, config: ExperimentsConfig) -> Config:
        """Return the grid's recipe, without retrieval."""
        return override(config.captioner, WITHOUT_RETRIEVAL)
