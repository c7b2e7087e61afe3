"""The captioner of sec. II-A: a mapper to one soft token of an LLM with LoRA.

Trained: the mapper m and the LoRA adapter. Frozen: the language model's own weights.
A saved captioner holds only what was trained, as safetensors.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import (
    PeftModel,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.utils import SAFETENSORS_WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F

from drcap.captioner.language_model import load_language_model, with_adapter
from drcap.captioner.mapper import untrained_mapper
from drcap.captioner.prompt import Prompt, PromptBuilder, pad, prompt_builder
from drcap.config import CaptionerConfig
from drcap.errors import CheckpointError

MAPPER = "mapper.safetensors"
ADAPTER = "adapter"


class Captioner(nn.Module):
    """Caption a CLAP embedding and its retrieved captions with a language model.

    embedding_dim : D, width of the CLAP space. The mapper is D -> H, the LLM's width.
    settings : of another system, which has a mapper, a prompt or a loss of its own
    """

    label_smoothing = 0.0  # of the loss in training
    mapper_rate = 1.0  # of the mapper's learning rate to that of the rest

    def __init__(
        self, llm, tokenizer, embedding_dim: int, config: CaptionerConfig, settings=None
    ):
        super().__init__()
        self.config = config
        self.settings = settings
        self.tokenizer = tokenizer
        self.llm = llm.requires_grad_(False)
        self.prompts = self.make_prompts()
        llm.get_output_embeddings().register_forward_pre_hook(_contiguous)
        self.mapper = self.make_mapper(embedding_dim)

    def make_prompts(self) -> PromptBuilder:
        """Return what lays out the prompt."""
        return prompt_builder(self.tokenizer, self.config)

    def make_mapper(self, embedding_dim: int) -> nn.Module:
        """Return m, (B, D) -> (B, H) or, of P soft tokens, (B, P, H)."""
        tokens = self.llm.get_input_embeddings().weight
        return untrained_mapper(self.config, embedding_dim, tokens)

    @classmethod
    def create(
        cls,
        embedding_dim: int,
        config: CaptionerConfig,
        dtype: torch.dtype,
        settings=None,
    ) -> "Captioner":
        """Load the language model, add an untrained adapter and mapper."""
        # fused attention's backward pass is the slower one on a CPU
        default = "sdpa" if torch.cuda.is_available() else "eager"
        captioner = cls._with_language_model(
            embedding_dim, config, dtype, settings, _attention(config, default)
        )
        if config.lora:
            captioner.llm = with_adapter(captioner.llm, config)
        return captioner

    @classmethod
    def load(
        cls,
        folder: Path,
        embedding_dim: int,
        config: CaptionerConfig,
        dtype: torch.dtype,
        settings=None,
    ) -> "Captioner":
        """Load what `save` wrote; the adapter is merged for fast inference.

        Beside weights in 4 bit it stays apart, as they would be rounded again.
        """
        captioner = cls._with_language_model(
            embedding_dim, config, dtype, settings, _attention(config, "sdpa")
        )
        mapper = captioner.mapper
        mapper.load_state_dict(_read(folder / MAPPER, mapper.state_dict()))
        if config.lora:
            captioner.llm = with_adapter(captioner.llm, config)
            untrained = get_peft_model_state_dict(captioner.llm)
            adapter = _read(folder / ADAPTER / SAFETENSORS_WEIGHTS_NAME, untrained)
            set_peft_model_state_dict(captioner.llm, adapter)
            if config.quantisation == "none":
                captioner.llm.merge_adapter()
        return captioner.requires_grad_(False).eval()

    @classmethod
    def _with_language_model(
        cls, embedding_dim, config, dtype, settings, attention="sdpa"
    ) -> "Captioner":
        llm, tokenizer = load_language_model(config, dtype, attention)
        return cls(llm, tokenizer, embedding_dim, config, settings)

    def save(self, folder: Path) -> None:
        """Write the mapper and the adapter; nothing that is frozen."""
        folder.mkdir(parents=True, exist_ok=True)
        mapper = {name: t.contiguous() for name, t in self.mapper.state_dict().items()}
        save_file(mapper, folder / MAPPER)
        if self.config.lora:
            self.llm.save_pretrained(folder / ADAPTER)
            _forget_local_path(folder / ADAPTER, self.config)

    @property
    def device(self) -> torch.device:
        """Where the mapper, and with it the whole model, lies."""
        return next(self.mapper.parameters()).device

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the trained parameters by name: the mapper's and the adapter's."""
        return {n: p for n, p in self.named_parameters() if p.requires_grad}

    def rates(self) -> list[dict[str, object]]:
        """Return what is trained, in groups of one learning rate, for an optimiser."""
        groups: dict[float, list[nn.Parameter]] = {}
        for name, parameter in self.trainable().items():
            rate = self.mapper_rate if name.startswith("mapper.") else 1.0
            groups.setdefault(rate, []).append(parameter)
        return [{"params": each, "rate": rate} for rate, each in groups.items()]

    def causal_lm(self):
        """Return the language model itself, without peft's wrapper."""
        wrapped = isinstance(self.llm, PeftModel)
        return self.llm.get_base_model() if wrapped else self.llm

    def embed(
        self, ids: torch.Tensor, slots: torch.Tensor, embeddings: torch.Tensor
    ) -> torch.Tensor:
        """Embed prompts (B, T), with the soft tokens m(E) from each row's slot on."""
        tokens = self.llm.get_input_embeddings()(ids)  # (B, T, H)
        soft = self.mapper(embeddings.to(self.device)).to(tokens.dtype)
        soft = soft.view(len(ids), -1, tokens.shape[2])  # (B, P, H)
        place = torch.arange(ids.shape[1], device=ids.device) - slots[:, None]
        inside = (place >= 0) & (place < soft.shape[1])  # (B, T)
        place = place.clamp(0, soft.shape[1] - 1)[..., None].expand_as(tokens)
        return torch.where(inside[..., None], soft.gather(1, place), tokens)

    def loss(
        self,
        embeddings: torch.Tensor,
        prompts: Sequence[Prompt],
        targets: Sequence[Sequence[int]],
    ) -> torch.Tensor:
        """Mean cross-entropy of the captions' tokens (eq. 2), () float32.

        embeddings : (B, D); prompts, targets : B each. Rows are padded on the right, so
        causal attention needs no mask, and logits exist only where a caption is read.
        """
        rows = [p.ids + list(t) for p, t in zip(prompts, targets, strict=True)]
        ids, _ = pad(rows, self.prompts.end_id, "right")
        ids = ids.to(self.device)
        slots = torch.tensor([p.slot for p in prompts], device=self.device)
        model = self.causal_lm()
        inputs = self.embed(ids, slots, embeddings)
        states = model.base_model(inputs_embeds=inputs, use_cache=False)
        hidden = states.last_hidden_state  # (B, T, H)
        row, position = _target_positions(prompts, targets, self.device)
        # (M, H): one row a caption token, read from the position before it
        logits = model.get_output_embeddings()(hidden[row, position - 1])
        smoothing = self.label_smoothing if self.training else 0.0
        return F.cross_entropy(
            logits.float(), ids[row, position], label_smoothing=smoothing
        )


def _contiguous(module, inputs):
    """Make a sliced input whole: a matrix product of it copies the weights per row."""
    return (inputs[0].contiguous(),)


def _attention(config: CaptionerConfig, default: str) -> str:
    return default if config.attention == "auto" else config.attention


def _target_positions(prompts, targets, device):
    pairs = [
        (row, len(prompt.ids) + offset)
        for row, (prompt, target) in enumerate(zip(prompts, targets, strict=True))
        for offset in range(len(target))
    ]
    return torch.tensor(pairs, device=device).T


def _read(path: Path, like: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Read tensors of the names and shapes of `like`; CheckpointError otherwise."""
    try:
        found = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved captioner") from None
    except Exception as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy it again") from None
    expected, shapes = _shapes(like), _shapes(found)
    if odd := sorted(set(expected.items()) ^ set(shapes.items())):
        name = odd[0][0]
        raise CheckpointError(
            f"{path}: does not fit its models: expected {name} to be "
            f"{expected.get(name, 'absent')}, found {shapes.get(name, 'nothing')}"
        )
    return found


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _forget_local_path(adapter: Path, config: CaptionerConfig) -> None:
    """Name the language model in the adapter as the config does, by no local path."""
    path = adapter / "adapter_config.json"
    values = json.loads(path.read_text())
    values["base_model_name_or_path"] = config.language_model
    values["target_modules"] = sorted(values["target_modules"])  # peft keeps a set
    path.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    (adapter / "README.md").unlink(missing_ok=True)  # peft's empty model card
