"""The LoRA adapter of the authors' released captioner, in either of two layouts.

Older code left a folder as peft writes it, newer code put the tensors into `model.pt`,
under peft's names within the model and without settings. Out: settings, and tensors
by the names that a folder of peft has, compared with a skeleton of the language model.
"""

import json
import re
from pathlib import Path

import torch
from peft import get_peft_model, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from drcap import files
from drcap.assets import resolve_model
from drcap.captioner.language_model import lora_config
from drcap.config import CaptionerConfig
from drcap.errors import AssetError, CheckpointError
from drcap.files import torch_files
from drcap.files.torch_files import Tensors

CONFIG = "adapter_config.json"
LANGUAGE = "llm."  # before the adapter's names in model.pt
WITHIN = re.compile(r"\.(lora_[AB])\.default\.")  # there, and in a folder without it

# what model.pt does not state: from the authors' training script
UNSTATED = {"lora_alpha": 32, "lora_dropout": 0.05}
USUAL = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
STATED = {"r": int, "lora_alpha": int, "lora_dropout": float, "target_modules": list}
# settings of peft that change what LoRA computes -> values that change nothing
PLAIN = {
    **{"peft_type": ("LORA",), "bias": ("none",), "fan_in_fan_out": (None, False)},
    **{"use_rslora": (None, False), "use_dora": (None, False)},
    **{"rank_pattern": (None, {}), "alpha_pattern": (None, {})},
    **{"modules_to_save": (None, []), "layers_to_transform": (None,)},
}


def our_names(tensors: Tensors) -> Tensors:
    """Return float32 tensors by the names that a folder of peft has."""
    return {
        WITHIN.sub(r".\1.", key.removeprefix(LANGUAGE)): tensor.float().contiguous()
        for key, tensor in tensors.items()
    }


def implied_settings(adapter: Tensors) -> dict:
    """Return the settings of an adapter without any: from its shapes, and theirs."""
    layers = {
        match[1]: tensor.shape[0]
        for name, tensor in adapter.items()
        if (match := re.fullmatch(r".*\.(\w+)\.lora_A\.weight", name)) and tensor.ndim
    }
    if not layers:  # all of its keys will be found to be missing
        return UNSTATED | USUAL
    ranks = sorted(layers.values())
    return UNSTATED | {"r": ranks[0], "target_modules": sorted(layers)}


def read_adapter(folder: Path) -> tuple[dict, Tensors]:
    """Return the settings and the tensors of a folder that peft wrote."""
    path = folder / CONFIG
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path}: missing; not an adapter's folder") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from None
    _check_settings(path, settings)
    return settings, our_names(_tensors(folder))


def check_adapter(source: Path, adapter: Tensors, config: CaptionerConfig) -> int:
    """Compare an adapter with what the language model needs; return its width H.

    CheckpointError lists missing and unexpected keys, or names a tensor's shape. Only
    the language model's config is read.
    """
    model = _skeleton(config)
    try:
        adapted = get_peft_model(model, lora_config(config))
    except ValueError:
        raise CheckpointError(
            f"{source}: adapts {', '.join(config.lora_targets)}, not all of which "
            f"'{config.language_model}' has; give its own --language-model"
        ) from None
    needed = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    shapes = {name: tuple(each.shape) for name, each in needed.items()}
    what = f"the authors' adapter of '{config.language_model}'"
    torch_files.check_keys(source, what, adapter, shapes)
    torch_files.check_shapes(source, adapter, shapes)
    return model.get_input_embeddings().weight.shape[1]


def write_adapter(folder: Path, adapter: Tensors, config: CaptionerConfig) -> None:
    """Write a folder as peft does, with the settings that matter."""
    folder.mkdir()
    save_file(adapter, folder / SAFETENSORS_WEIGHTS_NAME)
    values = {
        **{"peft_type": "LORA", "task_type": "CAUSAL_LM", "bias": "none"},
        "base_model_name_or_path": config.language_model,
        "inference_mode": True,
        "r": config.lora_r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": list(config.lora_targets),
    }
    files.write_json(folder / CONFIG, values)


def _tensors(folder: Path) -> Tensors:
    path = folder / SAFETENSORS_WEIGHTS_NAME
    if not path.exists():
        path = folder / WEIGHTS_NAME
        content = torch_files.named(path, torch_files.read(path))
        return torch_files.tensors(path, content)
    try:
        return load_file(path)
    except Exception as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy it again") from None


def _check_settings(path: Path, settings: object) -> None:
    """Refuse an adapter that computes something else than plain LoRA."""
    settings = settings if isinstance(settings, dict) else {}
    for name, kind in STATED.items():
        found = settings.get(name)
        if not isinstance(found, (int, float) if kind is float else kind):
            raise CheckpointError(
                f"{path}: not a LoRA adapter's settings: expected {name} to be of type "
                f"{kind.__name__}, found {found!r}"
            )
    for name, plain in PLAIN.items():
        if settings.get(name) not in plain:
            raise CheckpointError(
                f"{path}: {name} is {settings.get(name)!r}; only plain LoRA is taken "
                f"over, with {plain[0]!r}"
            )


def _skeleton(config: CaptionerConfig) -> torch.nn.Module:
    """Return the language model without weights."""
    name = config.language_model
    try:
        architecture = AutoConfig.from_pretrained(resolve_model(name))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AssetError(
            f"language model '{name}' cannot be read ({reason}): give --language-model "
            "an asset, a folder that holds it, or a hub id while online"
        ) from None
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(architecture)
