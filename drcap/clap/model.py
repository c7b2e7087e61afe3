"""The CLAP model (sec. II-A): HTS-AT and a text encoder, projected into one space.

In: waveforms or their log-mels, and captions; out: unit rows of width D. The spectrum's
batch normalisation always uses statistics fitted once to the training clips, so that an
embedding never depends on its batch, in training either. A saved model is a folder:
config.json, model.safetensors and, where the text encoder was trained with the rest,
`text_encoder/` with its architecture and tokenizer; of a frozen one the name is kept.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import ClapAudioModel

from drcap.clap.encoder import CLAP
from drcap.clap.front_end import LogMel, fixed_length
from drcap.clap.hts_at import hts_at
from drcap.clap.text_encoder import TextEncoder, described
from drcap.config import CLAPConfig
from drcap.devices import inference_dtype, resolve_device
from drcap.errors import CheckpointError, ConfigError
from drcap.files import atomic_folder, write_json

KIND = "clap"
WEIGHTS = "model.safetensors"
TEXT_ENCODER = "text_encoder"


class CLAPModel(nn.Module):
    """Audio and text encoder, projections and learned temperature.

    text_encoder : given if it is not to be read from `config.text_encoder.model`
    """

    def __init__(self, config: CLAPConfig, text_encoder: TextEncoder | None = None):
        super().__init__()
        self.config = config
        self.front_end = LogMel(config.front_end)
        architecture = hts_at(config)
        self.audio_encoder = ClapAudioModel(architecture)
        self.text_encoder = text_encoder or TextEncoder(config.text_encoder)
        self.audio_projection = projection(architecture.hidden_size, config.dim)
        self.text_projection = projection(self.text_encoder.width, config.dim)
        # its logarithm is learned, so that it stays above 0
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.temperature)))

    @property
    def temperature(self) -> torch.Tensor:
        """What similarities are divided by, tau in eq. 4."""
        return self.log_temperature.exp()

    @property
    def device(self) -> torch.device:
        """Where the model lies."""
        return self.log_temperature.device

    @property
    def normalisation(self) -> nn.BatchNorm2d:
        """The normalisation of each mel band, before anything else in HTS-AT."""
        return self.audio_encoder.audio_encoder.batch_norm

    def train(self, mode: bool = True) -> "CLAPModel":
        """Switch dropout on or off; the normalisation keeps its fitted statistics."""
        super().train(mode)
        self.normalisation.eval()
        return self

    @torch.no_grad()
    def fit_normalisation(self, mean: torch.Tensor, var: torch.Tensor) -> None:
        """Set the mel bands' mean and variance, (mels,) each, in dB and dB squared."""
        self.normalisation.running_mean.copy_(mean)
        self.normalisation.running_var.copy_(var)

    def audio_features(self, log_mels: torch.Tensor) -> torch.Tensor:
        """Return what HTS-AT makes of log-mels: (B, frames, mels) dB -> (B, H)."""
        return self.audio_encoder(input_features=log_mels[:, None]).pooler_output

    def embed_log_mels(self, log_mels: torch.Tensor) -> torch.Tensor:
        """Embed log-mels: (B, frames, mels) dB -> (B, D) float32, unit rows."""
        projected = self.audio_projection(self.audio_features(log_mels))
        return F.normalize(projected.float(), dim=-1)

    def tokenize(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return `input_ids` and `attention_mask` of B captions, (B, T) int64 each."""
        return self.text_encoder.tokenize(captions)

    def text_features(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Return the pooled states of B captions: two (B, T) -> (B, H)."""
        return self.text_encoder(input_ids, attention_mask)

    def project_text(self, features: torch.Tensor) -> torch.Tensor:
        """Project pooled states: (B, H) -> (B, D) float32, unit rows."""
        return F.normalize(self.text_projection(features).float(), dim=-1)

    def embed_tokens(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> torch.Tensor:
        """Embed B captions: two (B, T) -> (B, D) float32, unit rows."""
        return self.project_text(self.text_features(input_ids, attention_mask))


def projection(width: int, dim: int) -> nn.Sequential:
    """Return the two layers from an encoder's width to the joint space's."""
    return nn.Sequential(nn.Linear(width, dim), nn.ReLU(), nn.Linear(dim, dim))


class TrainedCLAP(CLAP):
    """A `CLAPModel` that embeds, with the weights that it has."""

    def __init__(self, model: CLAPModel):
        self.model = model.eval()
        self.dim = model.config.dim
        self.sr = model.config.front_end.sr
        self.window_seconds = model.config.front_end.seconds

    @property
    def temperature(self) -> float:
        """The learned temperature, tau of eq. 4."""
        return float(self.model.temperature.detach())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight and of every setting that an embedding depends on."""
        config = self.model.config
        parts = (config.front_end, config.audio_encoder, config.text_encoder)
        return fingerprint(KIND, self.model, parts)

    @torch.inference_mode()
    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Embed B waveforms, each (n,) float32 at `sr` Hz -> (B, D), on the CPU."""
        if not len(waveforms):
            return torch.zeros(0, self.dim)
        fitted = fixed_length(waveforms, self.model.config.front_end)
        log_mels = self.model.front_end(fitted.to(self.model.device))
        with autocast(self.model.device):
            return self.model.embed_log_mels(log_mels).cpu()

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, D) float32, unit rows, on the CPU."""
        if not len(captions):
            return torch.zeros(0, self.dim)
        tokens = self.model.tokenize(captions)
        tokens = {name: each.to(self.model.device) for name, each in tokens.items()}
        with autocast(self.model.device):
            return self.model.embed_tokens(**tokens).cpu()

    @torch.inference_mode()
    def frames(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return HTS-AT's last states, the mean over frequency: (B, T, C) float32."""
        log_mels = self.log_mels(waveforms).to(self.model.device)
        with autocast(self.model.device):
            read = self.model.audio_encoder(input_features=log_mels[:, None])
            states = read.last_hidden_state  # (B, C, frequencies, T)
            return states.mean(dim=2).transpose(1, 2).float().cpu()

    @torch.inference_mode()
    def log_mels(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Return log-mels of the window's length: (B, frames, mels) dB, on the CPU."""
        fitted = fixed_length(waveforms, self.model.config.front_end)
        return self.model.front_end(fitted.to(self.model.device)).cpu()

    def save(self, folder: Path) -> None:
        """Write the model's folder, whole or not at all."""
        trained_text = self.model.config.text_encoder.trained
        with atomic_folder(folder) as aside:
            values = {"kind": KIND, **self.model.config.to_dict()}
            write_json(aside / "config.json", values)
            save_file(_saved(self.model), aside / WEIGHTS)
            if trained_text:
                self.model.text_encoder.save(aside / TEXT_ENCODER)

    @classmethod
    def load(cls, folder: str | Path, device: str = "auto") -> "TrainedCLAP":
        """Load what `save` wrote; CheckpointError if it is not whole."""
        folder = Path(folder)
        config = _read_config(folder / "config.json")
        text_encoder = None
        if config.text_encoder.trained:
            text_encoder = described(config.text_encoder, folder / TEXT_ENCODER)
        model = CLAPModel(config, text_encoder)
        _fill(model, folder / WEIGHTS)
        return cls(model.to(resolve_device(device)))


def fingerprint(label: str, model: nn.Module, settings: Iterable[object]) -> str:
    """Return a label that changes with every weight and with the settings given."""
    written = json.dumps([asdict(part) for part in settings])
    digest = hashlib.sha256(written.encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return f"{label}-{digest.hexdigest()[:12]}"


def autocast(device: torch.device) -> torch.autocast:
    """Return the context of inference: bfloat16 on a GPU, float32 on a CPU."""
    dtype = inference_dtype(device)
    mixed = dtype is not torch.float32
    return torch.autocast(device.type, dtype if mixed else None, enabled=mixed)


def _saved(model: CLAPModel) -> dict[str, torch.Tensor]:
    """Return the weights that are saved, by name."""
    trained_text = model.config.text_encoder.trained
    return {
        name: tensor.detach().contiguous()
        for name, tensor in model.state_dict().items()
        if trained_text or not name.startswith("text_encoder.")
    }


def _fill(model: CLAPModel, path: Path) -> None:
    """Load the saved weights; CheckpointError names those that do not fit."""
    try:
        found = load_file(path)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved CLAP model") from None
    except Exception as error:
        raise CheckpointError(f"{path}: damaged ({error}); copy it again") from None
    expected = {name: tuple(each.shape) for name, each in _saved(model).items()}
    shapes = {name: tuple(each.shape) for name, each in found.items()}
    if odd := sorted(set(expected.items()) ^ set(shapes.items())):
        name = odd[0][0]
        raise CheckpointError(
            f"{path}: does not fit its config.json: expected {name} to be "
            f"{expected.get(name, 'absent')}, found {shapes.get(name, 'nothing')}"
        )
    model.load_state_dict(found, strict=False)


def _read_config(path: Path) -> CLAPConfig:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved CLAP model") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from None
    if not isinstance(values, dict) or values.pop("kind", None) != KIND:
        raise CheckpointError(f"{path}: not of a CLAP model trained here")
    try:
        return CLAPConfig.from_dict(values)
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
