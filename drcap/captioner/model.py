"""The captioner of sec. II-A: a mapper to one soft token of an LLM with LoRA.

Trained: the mapper m and the LoRA adapter. Frozen: the language model's own weights.
A saved captioner holds only what was trained, as safetensors. A saved DRCap's folder
also holds its configuration, and perhaps a CLAP model, S of eq. 4 and a datastore.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict, set_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from drcap.atomic import atomic_path
from drcap.captioner.language_model import load_language_model, with_adapter
from drcap.captioner.mapper import untrained_mapper
from drcap.captioner.prompt import Prompt, PromptBuilder, pad
from drcap.config import CaptionerConfig, Config
from drcap.errors import CheckpointError, ConfigError

MAPPER, ADAPTER = "mapper.safetensors", "adapter"
CONFIG, CLAP_MODEL = "config.json", "clap"  # of a saved DRCap
SUPPORT, DATASTORE = "support.safetensors", "datastore"


class Captioner(nn.Module):
    """Captions a CLAP embedding and its retrieved captions with a language model.

    embedding_dim : D, width of the CLAP space; the mapper is D -> H, the LLM's width
    settings : of a system with its own mapper, prompt or loss; may be a tuple of them
        and of sizes
    """

    def __init__(
        self, llm, tokenizer, embedding_dim: int, config: CaptionerConfig, settings=None
    ):
        super().__init__()
        self.config = config
        self.settings = settings
        own = settings[0] if isinstance(settings, tuple) else settings
        self.label_smoothing = getattr(own, "label_smoothing", 0.0)  # in training
        self.mapper_rate = getattr(own, "mapper_rate", 1.0)  # over the adapter's
        self.tokenizer = tokenizer
        self.llm = llm.requires_grad_(False)
        self.prompts = self.make_prompts()
        llm.get_output_embeddings().register_forward_pre_hook(_contiguous)
        self.mapper = self.make_mapper(embedding_dim)

    def make_prompts(self) -> PromptBuilder:
        return PromptBuilder(self.tokenizer, self.config)

    def make_mapper(self, embedding_dim: int) -> nn.Module:
        """Return m, (B, D) -> (B, H); for P soft tokens (B, D) -> (B, P, H)."""
        tokens = self.llm.get_input_embeddings().weight
        return untrained_mapper(self.config, embedding_dim, tokens)

    def starts(self, inputs: torch.Tensor) -> Iterable[tuple[nn.Linear, torch.Tensor]]:
        """Return the layers that `fit_mapper` fits, and what each reads of N inputs."""
        return [(self.mapper, inputs)]

    @classmethod
    def language_model(cls, config: CaptionerConfig, dtype, attention: str, settings):
        return load_language_model(config, dtype, attention)

    @classmethod
    def create(
        cls,
        embedding_dim: int,
        config: CaptionerConfig,
        dtype: torch.dtype,
        settings=None,
        attention: str | None = None,
    ) -> Self:
        """Load the language model; add an untrained mapper and adapter in float32.

        dtype : of the language model
        attention : what "auto" stands for; None: the fastest in training

        AssetError and ConfigError as `load_language_model`.
        """
        # on a CPU, the backward pass of fused attention is the slower one
        auto = attention or ("sdpa" if torch.cuda.is_available() else "eager")
        attention = auto if config.attention == "auto" else config.attention
        llm, tokenizer = cls.language_model(config, dtype, attention, settings)
        captioner = cls(llm, tokenizer, embedding_dim, config, settings)
        if config.lora:
            captioner.llm = with_adapter(captioner.llm, config)
        return captioner

    @classmethod
    def load(cls, folder: Path, embedding_dim, config, dtype, settings=None) -> Self:
        """Load what `save` wrote; merge the adapter for fast inference.

        With weights in 4 bit the adapter stays apart, as merging would round again.

        Errors of `create`; CheckpointError if a file is missing, damaged, or of other
        shapes than the settings say.
        """
        captioner = cls.create(embedding_dim, config, dtype, settings, "sdpa")
        mapper = captioner.mapper
        mapper.load_state_dict(_read(folder / MAPPER, mapper.state_dict()))
        if config.lora:
            untrained = get_peft_model_state_dict(captioner.llm)
            adapter = _read(folder / ADAPTER / SAFETENSORS_WEIGHTS_NAME, untrained)
            set_peft_model_state_dict(captioner.llm, adapter)
            if config.quantisation == "none":
                captioner.llm.merge_adapter()
        return captioner.requires_grad_(False).eval()

    def save(self, folder: Path) -> None:
        """Write the mapper and the adapter, and nothing that is frozen."""
        folder.mkdir(parents=True, exist_ok=True)
        mapper = {name: t.contiguous() for name, t in self.mapper.state_dict().items()}
        save_file(mapper, folder / MAPPER)
        if self.config.lora:
            # the embeddings are frozen; peft would ask the hub whether they have grown
            self.llm.save_pretrained(folder / ADAPTER, save_embedding_layers=False)
            (folder / ADAPTER / "README.md").unlink(missing_ok=True)  # an empty card

    @property
    def device(self) -> torch.device:
        """The device of the whole model."""
        return next(self.mapper.parameters()).device

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by name."""
        return {n: p for n, p in self.named_parameters() if p.requires_grad}

    def rates(self) -> list[dict[str, object]]:
        """Return the trained parameters for an optimiser, a group a learning rate."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.trainable().items():
            rate = self.mapper_rate if name.startswith("mapper.") else 1.0
            groups.setdefault(rate, []).append(parameter)
        return [{"params": group, "rate": rate} for rate, group in groups.items()]

    def causal_lm(self):
        """Return the language model itself, without peft's wrapper."""
        wrapped = isinstance(self.llm, PeftModel)
        return self.llm.get_base_model() if wrapped else self.llm

    def embed(self, ids, slots, embeddings) -> torch.Tensor:
        """Embed prompts, with the P soft tokens m(E) from each row's slot on.

        ids : (B, T)      slots : (B,)      embeddings : (B, D)      returns : (B, T, H)
        """
        tokens = self.llm.get_input_embeddings()(ids)  # (B, T, H)
        soft = self.mapper(embeddings.to(self.device)).to(tokens.dtype)
        soft = soft.view(len(ids), -1, tokens.shape[2])  # (B, P, H)
        place = torch.arange(ids.shape[1], device=ids.device) - slots[:, None]
        inside = (place >= 0) & (place < soft.shape[1])  # (B, T)
        place = place.clamp(0, soft.shape[1] - 1)[..., None].expand_as(tokens)
        return torch.where(inside[..., None], soft.gather(1, place), tokens)

    def keep(self, stay: torch.Tensor) -> None:
        """Go on with the clips of the batch that `stay`, (B,) bool: others are done.

        For captioners that look at more of a clip than its prompt while they write.
        """

    def loss(
        self,
        embeddings: torch.Tensor,
        prompts: Sequence[Prompt],
        targets: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        """Return the mean over captions of eq. 2, () float32.

        Eq. 2 is the mean cross-entropy of one caption's tokens: a short caption counts
        as much as a long one. (The authors' code takes the mean over a batch's tokens.)
        embeddings : (B, D)      prompts, targets : B each

        Rows are padded on the right, so causal attention needs no mask. Logits are
        computed only where a caption token is predicted.
        """
        rows = [p.ids + list(t) for p, t in zip(prompts, targets, strict=True)]
        ids, mask = pad(rows, self.prompts.end_id, "right")
        starts = torch.tensor([len(prompt.ids) for prompt in prompts])
        captions = (mask == 1) & (torch.arange(ids.shape[1]) >= starts[:, None])
        row, position = captions.nonzero().T.to(self.device)  # (M,) each, M tokens
        ids = ids.to(self.device)
        slots = torch.tensor([p.slot for p in prompts], device=self.device)
        model = self.causal_lm()
        inputs = self.embed(ids, slots, embeddings)
        states = model.base_model(inputs_embeds=inputs, use_cache=False)
        hidden = states.last_hidden_state  # (B, T, H)
        # (M, H): a token is predicted from the position before it
        logits = model.get_output_embeddings()(hidden[row, position - 1])
        smoothing = self.label_smoothing if self.training else 0.0
        losses = F.cross_entropy(
            *(logits.float(), ids[row, position]),
            **{"reduction": "none", "label_smoothing": smoothing},
        )
        lengths = torch.tensor([len(target) for target in targets], device=row.device)
        return (losses / lengths[row]).sum() / len(lengths)


def read_config(folder: Path) -> Config:
    """Return a saved DRCap's configuration; its own CLAP model by its whole path.

    CheckpointError if the file is missing or damaged.
    """
    path = folder / CONFIG
    try:
        config = Config.from_dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved DRCap model") from None
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from None
    own = folder / config.clap
    return replace(config, clap=str(own)) if own.is_dir() else config


def write_support(folder: Path, support: np.ndarray) -> None:
    """Write S of a model's folder, (N, D) float32, whole or not at all."""
    rows = torch.from_numpy(np.ascontiguousarray(support, np.float32))
    with atomic_path(Path(folder) / SUPPORT) as aside:
        save_file({"embeddings": rows}, aside)


def read_support(folder: Path, dim: int) -> np.ndarray | None:
    """Return a saved DRCap's own S, (N, D) float32, if it has one.

    dim : D; CheckpointError if the file is of another, or damaged
    """
    if not (path := folder / SUPPORT).exists():
        return None
    support = _tensors(path).get("embeddings", torch.zeros(0))
    if support.ndim != 2 or support.shape[1] != dim:
        expected = f"expected (N, {dim}) as the CLAP model has it"
        raise CheckpointError(f"{path}: {expected}, found {tuple(support.shape)}")
    return support.numpy()


def _contiguous(module, inputs):
    """Copy a sliced input once: a matrix product of it copies the weights per row."""
    return (inputs[0].contiguous(),)


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved captioner") from None
    except Exception as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy it again") from None


def _read(path: Path, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    tensors = _tensors(path)
    for name in sorted({*like, *tensors}):
        expected, read = (
            tuple(side[name].shape) if name in side else "nothing"
            for side in (like, tensors)
        )
        if read != expected:
            rule = f"expected {name} to be {expected}, found {read}"
            raise CheckpointError(f"{path}: does not fit its models: {rule}")
    return tensors
