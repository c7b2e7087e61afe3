"""The authors' released captioner (sec. II), as a folder for `DRCap.from_pretrained`.

In: `model.pt` (the mapper, in newer code the LoRA adapter too), the adapter's folder of
older code as peft writes it, `support.pt` (S of eq. 4), and their CLAP model. Out: the
same tensors under our names, all accounted for and compared with a skeleton of the
language model. Checked against the layers computed by hand.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import torch
from peft import get_peft_model, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from drcap.assets import resolve_model
from drcap.atomic import atomic_folder, write_json
from drcap.authors import torch_files
from drcap.authors.clap import load_authors
from drcap.authors.torch_files import Tensors
from drcap.captioner.language_model import lora_config
from drcap.captioner.model import (
    ADAPTER,
    CLAP_MODEL,
    CONFIG,
    DATASTORE,
    MAPPER,
    write_support,
)
from drcap.config import CaptionerConfig, Config, GenerationConfig
from drcap.data.clip import read_captions
from drcap.errors import CheckpointError, ConfigError
from drcap.retrieval import CaptionDatastore

GENERATION = GenerationConfig(num_beams=4, max_new_tokens=200, batch_size=4)

# the authors' names in model.pt -> ours, of drcap.captioner.mapper
MAPPER_KEYS = {
    "encoder_projector.linear1.weight": "0.weight",
    "encoder_projector.linear1.bias": "0.bias",
    "encoder_projector.linear2.weight": "2.weight",
    "encoder_projector.linear2.bias": "2.bias",
}
LANGUAGE = "llm."  # before the adapter's names in model.pt
WITHIN = re.compile(r"\.(lora_[AB])\.default\.")  # there, and in a folder without it

# the authors' training script's, which model.pt does not state
SETTINGS = {"lora_alpha": 32, "lora_dropout": 0.05}
SETTINGS |= {"r": 8, "target_modules": ["q_proj", "v_proj"]}
# settings of peft that change what LoRA computes -> what plain LoRA has
PLAIN = {
    **{"peft_type": "LORA", "bias": "none", "fan_in_fan_out": None},
    **{"use_rslora": None, "use_dora": None, "rank_pattern": None},
    **{"alpha_pattern": None, "modules_to_save": None, "layers_to_transform": None},
}


class Released(NamedTuple):
    """What the authors' files hold, under our names; the CLAP model aside."""

    mapper: Tensors
    adapter: Tensors
    support: torch.Tensor  # S in eq. 4, (N, D) float32, unit rows
    config: CaptionerConfig


def import_model(
    clap: Path,
    mapper: Path,
    support: Path,
    output: Path,
    *,
    language_model: str,
    lora: Path | None = None,
    captions: Path | None = None,
    tokenizer: str = "roberta-base",
    device: str = "auto",
) -> int:
    """Turn the authors' files into the folder of a DRCap; return its bytes.

    output : a folder still to be made, or empty; else CheckpointError
    captions : file of captions to retrieve from; None: no datastore

    CheckpointError if the CLAP model's width is not that of mapper and support; other
    arguments and errors are those of `read_released` and `load_authors`.
    """
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise CheckpointError(f"{output}: is not empty; name another folder")
    texts = read_captions(captions) if captions else None
    released = read_released(mapper, support, lora, language_model)
    model = load_authors(clap, tokenizer=tokenizer, device=device)
    dim = released.support.shape[1]
    if model.dim != dim:
        raise CheckpointError(
            f"the CLAP model embeds in {model.dim} dimensions, mapper and support are "
            f"of {dim}: give the files of one model"
        )
    config = Config(CLAP_MODEL, captioner=released.config, generation=GENERATION)
    settings = lora_config(released.config)
    settings.base_model_name_or_path = language_model
    settings.inference_mode = True
    with atomic_folder(output) as aside:
        save_file(released.mapper, aside / MAPPER)
        settings.save_pretrained(aside / ADAPTER)  # makes the folder, as peft does
        save_file(released.adapter, aside / ADAPTER / SAFETENSORS_WEIGHTS_NAME)
        write_support(aside, released.support.numpy())
        model.save(aside / CLAP_MODEL)
        if texts is not None:
            CaptionDatastore.build(texts, model).save(aside / DATASTORE)
        write_json(aside / CONFIG, config.to_dict())
    return sum(file.stat().st_size for file in output.rglob("*") if file.is_file())


def read_released(
    mapper: Path, support: Path, lora: Path | None, language_model: str
) -> Released:
    """Read model.pt, support.pt and, where model.pt holds no adapter, its folder.

    language_model : asset, folder or hub id; only its config is read

    CheckpointError names a file that is damaged or of another size, or lists its
    missing and unexpected keys.
    """
    weights = torch_files.tensors(mapper, torch_files.read(mapper))
    language = sorted(key for key in weights if key.startswith(LANGUAGE))
    adapter = _our_names({key: weights.pop(key) for key in language})
    if lora is not None and adapter:
        raise CheckpointError(
            f"{mapper}: holds an adapter itself, which the authors' code would use "
            f"instead of {lora}; leave out --lora"
        )
    if lora is not None:
        settings, adapter = _read_adapter(lora)
    else:  # rank and layers are seen in the adapter; `_check_adapter` reports none
        ranks = {
            name.split(".")[-3]: len(tensor)
            for name, tensor in adapter.items()
            if name.endswith(".lora_A.weight") and tensor.ndim
        }
        settings = dict(SETTINGS)
        if ranks:
            settings |= {"r": min(ranks.values()), "target_modules": sorted(ranks)}
    source = lora or mapper
    inner = weights.get("encoder_projector.linear1.bias", torch.zeros(1)).numel()
    targets = settings.get("target_modules")
    try:
        config = CaptionerConfig(
            language_model,
            **{"style": "authors", "mapper": "two_layer", "mapper_width": inner},
            lora_r=settings.get("r"),
            lora_alpha=settings.get("lora_alpha"),
            lora_dropout=settings.get("lora_dropout"),
            lora_targets=tuple(sorted(targets)) if type(targets) is list else targets,
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: not plain LoRA: {error}") from None
    width = _check_adapter(source, adapter, config)
    rows = torch_files.read(support)
    right = torch.is_tensor(rows) and rows.ndim == 2 and rows.numel() > 0
    if right:
        rows = rows.detach().float().contiguous()
        right = bool(((rows.norm(dim=1) - 1).abs() < 1e-3).all())  # false for NaN
    if not right:
        raise CheckpointError(
            f"{support}: expected a tensor (N, D) of rows of unit norm; not a text "
            "embedding support"
        )
    shapes = ((inner, rows.shape[1]), (inner,), (width, inner), (width,))
    expected = dict(zip(MAPPER_KEYS, shapes, strict=True))
    torch_files.check(mapper, "the authors' model.pt", weights, expected)
    ours = {MAPPER_KEYS[key]: weights[key].float().contiguous() for key in expected}
    return Released(ours, adapter, rows, config)


def _our_names(tensors: Tensors) -> Tensors:
    """Return float32 tensors by the names that a folder of peft has."""
    return {
        WITHIN.sub(r".\1.", key.removeprefix(LANGUAGE)): tensor.float().contiguous()
        for key, tensor in tensors.items()
    }


def _read_adapter(folder: Path) -> tuple[dict, Tensors]:
    """Return the settings and the tensors of a folder that peft wrote."""
    path = folder / "adapter_config.json"
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{path}: missing or damaged ({error}); give the folder of an adapter"
        ) from None
    for name, plain in PLAIN.items():
        if (settings.get(name) or None) != plain:
            raise CheckpointError(
                f"{path}: {name} is {settings.get(name)!r}; only plain LoRA is read"
            )
    weights = folder / SAFETENSORS_WEIGHTS_NAME
    if not weights.exists():
        weights = folder / WEIGHTS_NAME
    return settings, _our_names(torch_files.tensors(weights, torch_files.read(weights)))


def _check_adapter(source: Path, adapter: Tensors, config: CaptionerConfig) -> int:
    """Compare an adapter with what the language model needs; return its width H."""
    name = config.language_model
    try:
        architecture = AutoConfig.from_pretrained(resolve_model(name))
        with torch.device("meta"):  # a skeleton without weights
            model = AutoModelForCausalLM.from_config(architecture)
        adapted = get_peft_model(model, lora_config(config))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{source}: does not fit the language model '{name}' ({reason}): give "
            "--language-model its own, as an asset, a folder, or a hub id while online"
        ) from None
    needed = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    shapes = {key: tensor.shape for key, tensor in needed.items()}
    torch_files.check(source, f"the authors' adapter of '{name}'", adapter, shapes)
    return model.get_input_embeddings().weight.shape[1]
