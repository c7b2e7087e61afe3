"""The authors' released captioner, as a folder for `DRCap.from_pretrained`.

In: `model.pt` (the mapper, in newer code the LoRA adapter too), the adapter's folder of
older code, `support.pt` (S of eq. 4), and their CLAP model, read by
`drcap.clap.authors`. Out: the same tensors under our names, all accounted for. Checked
against the layers computed by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file

from drcap import files, model_folder
from drcap.captioner import authors_adapter
from drcap.captioner.model import ADAPTER, MAPPER
from drcap.clap.model import TrainedCLAP
from drcap.config import CaptionerConfig, Config, GenerationConfig
from drcap.errors import CheckpointError
from drcap.files import torch_files
from drcap.files.torch_files import Tensors
from drcap.retrieval import CaptionDatastore

LANGUAGE_MODEL = "lmsys/vicuna-7b-v1.5"

# the authors' names in model.pt -> ours, of drcap.captioner.mapper
MAPPER_KEYS = {
    "encoder_projector.linear1.weight": "0.weight",
    "encoder_projector.linear1.bias": "0.bias",
    "encoder_projector.linear2.weight": "2.weight",
    "encoder_projector.linear2.bias": "2.bias",
}
GENERATION = GenerationConfig(num_beams=4, max_new_tokens=200, batch_size=4)


@dataclass(frozen=True)
class Released:
    """What the authors' files hold, under our names; the CLAP model aside."""

    mapper: Tensors
    adapter: Tensors
    support: torch.Tensor  # S in eq. 4, (N, D) float32, unit rows
    config: CaptionerConfig


def read_released(
    mapper: Path,
    support: Path,
    lora: Path | None = None,
    language_model: str = LANGUAGE_MODEL,
) -> Released:
    """Read model.pt, support.pt and, where model.pt holds no adapter, its folder.

    language_model : asset, folder or hub id; only its config is read

    CheckpointError names a file that is damaged or of another size, or lists its
    missing and unexpected keys.
    """
    weights, adapter = _read_model(mapper)
    if lora is None:
        settings = authors_adapter.implied_settings(adapter)
    elif adapter:
        raise CheckpointError(
            f"{mapper}: holds an adapter itself, which the authors' code would use "
            f"instead of {lora}; leave out --lora"
        )
    else:
        settings, adapter = authors_adapter.read_adapter(lora)
    config = _configured(weights, settings, language_model)
    width = authors_adapter.check_adapter(lora or mapper, adapter, config)
    rows = read_support(support)
    _check_mapper(mapper, weights, rows.shape[1], width)
    return Released(weights, adapter, rows, config)


def read_support(path: Path) -> torch.Tensor:
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


def check_output(output: Path) -> None:
    """Raise CheckpointError unless `output` is a folder still to be made, or empty."""
    if output.exists() and (output.is_file() or any(output.iterdir())):
        raise CheckpointError(f"{output}: is not empty; name another folder")


def write_model(
    output: Path,
    released: Released,
    clap: TrainedCLAP,
    captions: Sequence[str] | None = None,
) -> None:
    """Write the folder that `DRCap.from_pretrained` loads, whole or not at all.

    captions : to retrieve from, encoded here; None: AudioCaps' training captions, when
        they are first needed
    """
    dim = released.support.shape[1]
    if clap.dim != dim:
        raise CheckpointError(
            f"the CLAP model embeds in {clap.dim} dimensions, mapper and support are "
            f"of {dim}: give the files of one model"
        )
    config = Config(
        model_folder.CLAP_MODEL, captioner=released.config, generation=GENERATION
    )
    with files.atomic_folder(output) as aside:
        save_file(released.mapper, aside / MAPPER)
        authors_adapter.write_adapter(
            aside / ADAPTER, released.adapter, released.config
        )
        model_folder.write_support(aside, released.support.numpy())
        clap.save(aside / model_folder.CLAP_MODEL)
        if captions is not None:
            datastore = CaptionDatastore.build(captions, clap)
            datastore.save(aside / model_folder.DATASTORE)
        files.write_json(aside / model_folder.CONFIG, config.to_dict())


def _read_model(path: Path) -> tuple[Tensors, Tensors]:
    """Return the mapper and the adapter (perhaps none) of model.pt, under our names."""
    content = torch_files.named(path, torch_files.read(path))
    language = {key for key in content if key.startswith(authors_adapter.LANGUAGE)}
    own = content.keys() - language
    torch_files.check_keys(path, "the authors' model.pt", own, MAPPER_KEYS)
    found = torch_files.tensors(path, content)
    adapter = {key: found[key] for key in sorted(language)}
    mapper = {
        ours: found[theirs].float().contiguous() for theirs, ours in MAPPER_KEYS.items()
    }
    return mapper, authors_adapter.our_names(adapter)


def _configured(
    mapper: Tensors, settings: dict, language_model: str
) -> CaptionerConfig:
    return CaptionerConfig(
        language_model,
        **{"style": "authors", "mapper": "two_layer"},
        mapper_width=mapper["0.bias"].numel(),
        lora_r=settings["r"],
        lora_alpha=settings["lora_alpha"],
        lora_dropout=float(settings["lora_dropout"]),
        lora_targets=tuple(sorted(settings["target_modules"])),
    )


def _check_mapper(path: Path, mapper: Tensors, dim: int, width: int) -> None:
    """Compare the layers' sizes with the support's D and the language model's H."""
    inner = mapper["0.bias"].numel()
    shapes = {"0.weight": (inner, dim), "0.bias": (inner,)}
    shapes |= {"2.weight": (width, inner), "2.bias": (width,)}
    found = {theirs: mapper[ours] for theirs, ours in MAPPER_KEYS.items()}
    expected = {theirs: shapes[ours] for theirs, ours in MAPPER_KEYS.items()}
    torch_files.check_shapes(path, found, expected)
