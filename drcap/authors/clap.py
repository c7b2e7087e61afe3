"""The authors' released CLAP, `best_model.pt` (sec. II-A), in the package's own model.

In: a checkpoint in the layout of their training code; out: a TrainedCLAP that embeds
alike. Every key is mapped by the table below, left out as known to be of no use, or an
error. Checked against outputs of the authors' code.
"""

import re
from pathlib import Path

import numpy as np
from transformers import RobertaConfig, RobertaModel

from drcap.authors import torch_files
from drcap.authors.torch_files import Tensors
from drcap.clap.front_end import mel_filters
from drcap.clap.model import CLAPModel, TrainedCLAP
from drcap.clap.text_encoder import TextEncoder
from drcap.config import CLAPConfig, override
from drcap.devices import resolve_device
from drcap.errors import CheckpointError

AUDIO = "audio_encoder.audio_enc."
FRONT_END = AUDIO + "audio_feats_extractor.mel_trans."

# Our names -> the authors', at the top of the model and within HTS-AT.
TOP = {
    "log_temperature": "temp",
    "audio_projection.": "audio_proj.",
    "text_projection.": "text_proj.",
    "text_encoder.model.": "text_encoder.text_encoder.",
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


# the architecture of roberta-base
ROBERTA = {"vocab_size": 50_265, "max_position_embeddings": 514, "type_vocab_size": 1}


def load_authors(
    path: str | Path,
    *,
    floor: float = 1e-6,
    tokenizer: str = "roberta-base",
    config: CLAPConfig | None = None,
    text_architecture: RobertaConfig | None = None,
    device: str = "auto",
    dtype: str = "auto",
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
    content = torch_files.read(path)
    if not isinstance(content, dict) or "model" not in content:
        raise CheckpointError(
            f"{path}: has no state dict called 'model'; not the authors' CLAP"
        )
    theirs = torch_files.tensors(path, content["model"])
    key, bands = FRONT_END + "log_trans.melW", mel_filters(config.front_end).T
    own = theirs[key].numpy() if key in theirs else bands
    if own.shape != bands.shape or not np.allclose(own, bands, atol=1e-5):
        raise CheckpointError(
            f"{path}: trained on another front end: {key} differs from "
            f"{config.front_end.mels} mel bands of a window of "
            f"{config.front_end.window} samples"
        )
    architecture = text_architecture or RobertaConfig(**ROBERTA)
    roberta = RobertaModel(architecture, add_pooling_layer=False)
    text_encoder = TextEncoder(config.text_encoder, roberta, tokenizer)
    model = CLAPModel(config, text_encoder)
    model.load_state_dict(_translate(path, theirs, model), strict=False)
    return TrainedCLAP(model.to(resolve_device(device)), dtype)


def _translate(path: Path, theirs: Tensors, model: CLAPModel) -> Tensors:
    """Rename and split the tensors; CheckpointError lists those that do not fit."""
    table: dict[str, list[str]] = {}  # their key -> our names, as they are stacked
    shapes: dict[str, tuple[int, ...]] = {}
    for name, tensor in model.state_dict().items():
        if not re.fullmatch(CONSTANT, name):
            key = _authors_key(name)
            table.setdefault(key, []).append(name)
            rows = tuple(len(table[key]) * size for size in tensor.shape[:1])
            shapes[key] = (*rows, *tensor.shape[1:])
    used = {key: theirs[key] for key in theirs if not re.fullmatch(UNUSED, key)}
    torch_files.check(path, "the authors' CLAP", used, shapes)
    ours: Tensors = {}
    for key, names in table.items():
        tensor = used[key].log() if key == "temp" else used[key]
        parts = tensor.chunk(len(names)) if len(names) > 1 else [tensor]
        ours |= zip(names, parts, strict=True)
    return ours


def _authors_key(name: str) -> str:
    ours, theirs = next(pair for pair in TOP.items() if name.startswith(pair[0]))
    rest = name.removeprefix(ours)
    if theirs == AUDIO:
        for inner, authors in HTS_AT.items():
            rest = rest.replace(inner, authors)
    return theirs + rest
