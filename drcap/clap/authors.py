"""The authors' released CLAP (`best_model.pt`) in the package's own model.

In: a checkpoint in the layout of their training code; out: a TrainedCLAP that embeds
alike. Every key is accounted for: mapped by the table below, left out because it is
known to be of no use here, or an error. Checked against outputs of the authors' code.
"""

import re
from pathlib import Path

import numpy as np
from transformers import RobertaConfig, RobertaModel

from drcap.clap.front_end import mel_filters
from drcap.clap.model import CLAPModel, TrainedCLAP
from drcap.clap.text_encoder import TextEncoder
from drcap.config import CLAPConfig, FrontEndConfig, override
from drcap.devices import resolve_device
from drcap.errors import CheckpointError
from drcap.files import torch_files
from drcap.files.torch_files import Tensors

AUDIO = "audio_encoder.audio_enc."
TEXT = "text_encoder.text_encoder."
FRONT_END = AUDIO + "audio_feats_extractor.mel_trans."
COSINES = FRONT_END + "stft.conv_real.weight"
SINES = FRONT_END + "stft.conv_imag.weight"
MEL = FRONT_END + "log_trans.melW"

# Our names -> the authors', at the top of the model and within HTS-AT.
TOP = {
    "log_temperature": "temp",
    "audio_projection.": "audio_proj.",
    "text_projection.": "text_proj.",
    "text_encoder.model.": TEXT,
    "audio_encoder.audio_encoder.": AUDIO,
}
HTS_AT = {
    "batch_norm.": "bn0.",
    "layernorm_before.": "norm1.",
    "attention.self.relative_position_bias": "attn.relative_position_bias",
    "attention.self.query.": "attn.qkv.",  # three layers here, stacked there
    "attention.self.key.": "attn.qkv.",
    "attention.self.value.": "attn.qkv.",
    "attention.output.dense.": "attn.proj.",
    "layernorm_after.": "norm2.",
    "intermediate.dense.": "mlp.fc1.",
    "output.dense.": "mlp.fc2.",
}

# what follows from the architecture, and AudioSet's classifier
CONSTANT = r".*\.(relative_position_index|attn_mask|num_batches_tracked|position_ids)"
UNUSED = rf"{CONSTANT}|{AUDIO}(tscam_conv|head)\..*|{FRONT_END}.*"


def roberta_base() -> RobertaConfig:
    """Return the architecture of roberta-base."""
    return RobertaConfig(
        **{"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1},
        **{"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12},
        **{"intermediate_size": 3_072, "layer_norm_eps": 1e-5},
        **{"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2},
    )


def load_authors(
    path: str | Path,
    *,
    floor: float = 1e-6,
    tokenizer: str = "roberta-base",
    config: CLAPConfig | None = None,
    text_architecture: RobertaConfig | None = None,
    device: str = "auto",
) -> TrainedCLAP:
    """Load the authors' checkpoint; no network, save for a tokenizer not yet here.

    floor : least mel power; 1e-6 in DRCap's CLAP, 1e-10 in those of WavCaps and WSAC
    tokenizer : asset, folder or hub id, read when a caption is first embedded
    config, text_architecture : of another size than the authors'

    CheckpointError if it cannot be read, has missing or unexpected keys, or was trained
    on another front end.
    """
    path = Path(path)
    config = override(config or CLAPConfig(), {"front_end": {"floor": floor}})
    found = read_checkpoint(path)
    _check_front_end(path, found, config.front_end)
    roberta = RobertaModel(text_architecture or roberta_base(), add_pooling_layer=False)
    text_encoder = TextEncoder(config.text_encoder, roberta, tokenizer)
    model = CLAPModel(config, text_encoder)
    model.load_state_dict(_translate(path, found, model), strict=False)
    return TrainedCLAP(model.to(resolve_device(device)))


def read_checkpoint(path: Path) -> Tensors:
    """Return the checkpoint's tensors, without a wrapper's prefix `module.`."""
    content = torch_files.read(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise CheckpointError(
            f"{path}: has no state dict called 'model'; not the authors' CLAP, but "
            f"{torch_files.described(content)}"
        )
    return torch_files.tensors(path, torch_files.named(path, content["model"]))


def authors_key(name: str) -> str:
    """Return the authors' name of a tensor of our model."""
    ours, theirs = next(pair for pair in TOP.items() if name.startswith(pair[0]))
    rest = name.removeprefix(ours)
    if theirs == AUDIO:
        for inner, authors in HTS_AT.items():
            rest = rest.replace(inner, authors)
    return theirs + rest


def key_table(model: CLAPModel) -> dict[str, list[str]]:
    """Return the authors' key -> our names, in the order in which they are stacked."""
    table: dict[str, list[str]] = {}
    for name in model.state_dict():
        if not re.fullmatch(CONSTANT, name):
            table.setdefault(authors_key(name), []).append(name)
    return table


def _translate(path: Path, found: Tensors, model: CLAPModel) -> Tensors:
    """Rename and split the tensors; CheckpointError lists those that do not fit."""
    table, shapes = key_table(model), model.state_dict()
    used = [key for key in found if not re.fullmatch(UNUSED, key)]
    torch_files.check_keys(path, "the authors' CLAP", used, table)
    ours: Tensors = {}
    for key, names in table.items():
        tensor = found[key].log() if key == "temp" else found[key]
        parts = tensor.chunk(len(names)) if len(names) > 1 else [tensor]
        ours |= zip(names, parts, strict=False)
    for name, tensor in ours.items():
        if tensor.shape != shapes[name].shape:
            raise CheckpointError(
                f"{path}: of another size: expected {authors_key(name)} to make "
                f"{tuple(shapes[name].shape)}, found {tuple(tensor.shape)}"
            )
    return ours


def _check_front_end(path: Path, found: Tensors, config: FrontEndConfig) -> None:
    """Compare the front end's constants, where the file has them, with ours."""
    samples = np.arange(config.window)
    bins = np.arange(config.window // 2 + 1)[:, None]
    angles = 2 * np.pi / config.window * (samples * bins % config.window)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * samples / config.window)
    expected = {
        COSINES: (hann * np.cos(angles))[:, None],
        SINES: (-hann * np.sin(angles))[:, None],
        MEL: mel_filters(config).T,
    }
    for key, constant in expected.items():
        if key not in found:
            continue
        same = tuple(found[key].shape) == constant.shape
        if not same or not np.allclose(found[key].numpy(), constant, atol=1e-5):
            raise CheckpointError(
                f"{path}: trained on another front end: {key} differs from a window "
                f"of {config.window} samples and {config.mels} mel bands"
            )
