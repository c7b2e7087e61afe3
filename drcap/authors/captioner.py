"""The authors' released captioner (sec. II), as a folder for `DRCap.from_pretrained`.

In: `model.pt` (the mapper, in newer code the LoRA adapter too), the adapter's folder of
older code as peft writes it, `support.pt` (S of eq. 4), and their CLAP model. Out: the
same tensors under our names, all accounted for and compared with a skeleton of the
language model. Checked against the layers computed by hand.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from peft import get_peft_model, get_peft_model_state_dict
from peft.utils import SAFETENSORS_WEIGHTS_NAME, WEIGHTS_NAME
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from drcap.assets import resolve_model
from drcap.atomic import atomic_folder, write_json
from drcap.authors import torch_files
from drcap.authors.clap import load_authors
from drcap.authors.torch_files import Tensors
from drcap.captioner.language_model import lora_config
from drcap.captioner.model import ADAPTER, MAPPER
from drcap.clap.model import TrainedCLAP
from drcap.config import CaptionerConfig, Config, GenerationConfig
from drcap.data.clip import read_captions
from drcap.errors import AssetError, CheckpointError, ConfigError
from drcap.retrieval import CaptionDatastore
from drcap.systems.drcap import CLAP_MODEL, CONFIG, DATASTORE, write_support

LANGUAGE_MODEL = "lmsys/vicuna-7b-v1.5"
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

# settings of the adapter that model.pt does not state: the authors' training script's
UNSTATED = {"lora_alpha": 32, "lora_dropout": 0.05}
USUAL = {"r": 8, "target_modules": ["q_proj", "v_proj"]}
# settings of peft that change what LoRA computes -> values that change nothing
PLAIN = {
    **{"peft_type": ("LORA",), "bias": ("none",), "fan_in_fan_out": (None, False)},
    **{"use_rslora": (None, False), "use_dora": (None, False)},
    **{"rank_pattern": (None, {}), "alpha_pattern": (None, {})},
    **{"modules_to_save": (None, []), "layers_to_transform": (None,)},
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
    lora: Path | None = None,
    captions: Path | None = None,
    language_model: str = LANGUAGE_MODEL,
    tokenizer: str = "roberta-base",
    device: str = "auto",
) -> int:
    """Turn the authors' files into a saved DRCap in `output`; return its bytes.

    captions : file of captions to retrieve from; None: AudioCaps', when first needed
    other arguments and errors : of `read_released`, `load_authors` and `write_model`
    """
    check_output(output)
    texts = read_captions(captions) if captions else None
    released = read_released(mapper, support, lora, language_model)
    model = load_authors(clap, tokenizer=tokenizer, device=device)
    write_model(output, released, model, texts)
    return sum(file.stat().st_size for file in output.rglob("*") if file.is_file())


def check_output(output: Path) -> None:
    """Raise CheckpointError unless `output` is a folder still to be made, or empty."""
    for parent in output.absolute().parents:
        if parent.is_file():
            raise CheckpointError(f"{output}: {parent} is a file; name another folder")
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise CheckpointError(f"{output}: is not empty; name another folder")


def read_released(
    mapper: Path,
    support: Path,
    lora: Path | None = None,
    language_model: str = LANGUAGE_MODEL,
) -> Released:
    """Read model.pt, support.pt and, where model.pt holds no adapter, its folder.

    language_model : asset, folder or hub id; only its config is read

    CheckpointError names a file that is damaged or of another size, or lists its
    missing and unexpected keys; AssetError if the language model's config is not here.
    """
    weights = torch_files.tensors(mapper, torch_files.read(mapper))
    language = sorted(key for key in weights if key.startswith(LANGUAGE))
    adapter = _our_names({key: weights.pop(key) for key in language})
    if lora is None:
        settings = _implied_settings(adapter)
    elif adapter:
        raise CheckpointError(
            f"{mapper}: holds an adapter itself, which the authors' code would use "
            f"instead of {lora}; leave out --lora"
        )
    else:
        settings, adapter = _read_adapter(lora)
    inner = weights.get("encoder_projector.linear1.bias", torch.zeros(1)).numel()
    config = _configured(lora or mapper, settings, language_model, inner)
    width = _check_adapter(lora or mapper, adapter, config)
    rows = _read_support(support)
    shapes = ((inner, rows.shape[1]), (inner,), (width, inner), (width,))
    expected = dict(zip(MAPPER_KEYS, shapes, strict=True))
    torch_files.check(mapper, "the authors' model.pt", weights, expected)
    ours = {MAPPER_KEYS[key]: weights[key].float().contiguous() for key in expected}
    return Released(ours, adapter, rows, config)


def write_model(
    output: Path,
    released: Released,
    clap: TrainedCLAP,
    captions: Sequence[str] | None = None,
) -> None:
    """Write the folder that `DRCap.from_pretrained` loads, whole or not at all.

    captions : to retrieve from, encoded here; None: no datastore

    CheckpointError if the CLAP model's width is not that of mapper and support.
    """
    dim = released.support.shape[1]
    if clap.dim != dim:
        raise CheckpointError(
            f"the CLAP model embeds in {clap.dim} dimensions, mapper and support are "
            f"of {dim}: give the files of one model"
        )
    config = Config(CLAP_MODEL, captioner=released.config, generation=GENERATION)
    with atomic_folder(output) as aside:
        save_file(released.mapper, aside / MAPPER)
        _write_adapter(aside / ADAPTER, released.adapter, released.config)
        write_support(aside, released.support.numpy())
        clap.save(aside / CLAP_MODEL)
        if captions is not None:
            CaptionDatastore.build(captions, clap).save(aside / DATASTORE)
        write_json(aside / CONFIG, config.to_dict())


def _configured(
    source: Path, settings: dict, language_model: str, mapper_width: int
) -> CaptionerConfig:
    targets = settings.get("target_modules")
    try:
        return CaptionerConfig(
            language_model,
            **{"style": "authors", "mapper": "two_layer", "mapper_width": mapper_width},
            lora_r=settings.get("r"),
            lora_alpha=settings.get("lora_alpha"),
            lora_dropout=settings.get("lora_dropout"),
            lora_targets=tuple(sorted(targets)) if type(targets) is list else targets,
        )
    except ConfigError as error:
        raise CheckpointError(f"{source}: not plain LoRA: {error}") from None


def _read_support(path: Path) -> torch.Tensor:
    """Return S of eq. 4 as their preprocessing saves it: (N, D) float32, unit rows."""
    content = torch_files.read(path)
    if not torch.is_tensor(content) or content.ndim != 2 or not content.numel():
        raise CheckpointError(
            f"{path}: expected a tensor (N, D) of text embeddings, found "
            f"{torch_files.described(content)}"
        )
    rows = content.detach().float().contiguous()
    norms = rows.norm(dim=1)
    if not torch.all((norms - 1).abs() < 1e-3):  # also false for NaN
        raise CheckpointError(
            f"{path}: expected rows of unit norm, found norms from {norms.min():.3g} "
            f"to {norms.max():.3g}; not a text embedding support"
        )
    return rows


def _our_names(tensors: Tensors) -> Tensors:
    """Return float32 tensors by the names that a folder of peft has."""
    return {
        WITHIN.sub(r".\1.", key.removeprefix(LANGUAGE)): tensor.float().contiguous()
        for key, tensor in tensors.items()
    }


def _implied_settings(adapter: Tensors) -> dict:
    """Return the settings of an adapter without any: from its shapes, and theirs."""
    layers = {
        match[1]: tensor.shape[0]
        for name, tensor in adapter.items()
        if (match := re.fullmatch(r".*\.(\w+)\.lora_A\.weight", name)) and tensor.ndim
    }
    if not layers:  # `_check_adapter` will list all of its keys as missing
        return UNSTATED | USUAL
    return UNSTATED | {"r": min(layers.values()), "target_modules": sorted(layers)}


def _read_adapter(folder: Path) -> tuple[dict, Tensors]:
    """Return the settings and the tensors of a folder that peft wrote."""
    path = folder / "adapter_config.json"
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path}: missing; not an adapter's folder") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from None
    settings = settings if isinstance(settings, dict) else {}
    for name, plain in PLAIN.items():
        if settings.get(name) not in plain:
            raise CheckpointError(
                f"{path}: {name} is {settings.get(name)!r}; only plain LoRA is taken "
                f"over, with {plain[0]!r}"
            )
    weights = folder / SAFETENSORS_WEIGHTS_NAME
    if not weights.exists():
        weights = folder / WEIGHTS_NAME
        tensors = torch_files.tensors(weights, torch_files.read(weights))
        return settings, _our_names(tensors)
    try:
        return settings, _our_names(load_file(weights))
    except Exception as error:
        raise CheckpointError(f"{weights}: damaged ({error}); copy it again") from None


def _check_adapter(source: Path, adapter: Tensors, config: CaptionerConfig) -> int:
    """Compare an adapter with what the language model needs; return its width H."""
    name = config.language_model
    try:
        architecture = AutoConfig.from_pretrained(resolve_model(name))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AssetError(
            f"language model '{name}' cannot be read ({reason}): give --language-model "
            "an asset, a folder that holds it, or a hub id while online"
        ) from None
    with torch.device("meta"):  # a skeleton without weights
        model = AutoModelForCausalLM.from_config(architecture)
    try:
        adapted = get_peft_model(model, lora_config(config))
    except ValueError:
        raise CheckpointError(
            f"{source}: adapts {', '.join(config.lora_targets)}, not all of which "
            f"'{name}' has; give its own --language-model"
        ) from None
    needed = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    shapes = {key: tensor.shape for key, tensor in needed.items()}
    torch_files.check(source, f"the authors' adapter of '{name}'", adapter, shapes)
    return model.get_input_embeddings().weight.shape[1]


def _write_adapter(folder: Path, adapter: Tensors, config: CaptionerConfig) -> None:
    """Write a folder as peft does, with the settings that matter."""
    folder.mkdir()
    save_file(adapter, folder / SAFETENSORS_WEIGHTS_NAME)
    settings = lora_config(config)
    settings.base_model_name_or_path = config.language_model
    settings.inference_mode = True
    settings.save_pretrained(folder)
