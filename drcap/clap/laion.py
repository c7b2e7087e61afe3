"""LAION-CLAP (Wu et al., 2023) as transformers publishes it, with its own front end.

In: waveforms at 48 kHz and captions; out: unit rows. Checked against transformers' own
feature extractor and model. Two stated differences from that extractor: a short clip is
followed by zeros instead of repeats, and a long one is never cropped at random.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from drcap.assets import resolve_model
from drcap.clap.encoder import CLAP
from drcap.clap.front_end import LogMel, fixed_length
from drcap.clap.model import autocast, fingerprint
from drcap.config import FrontEndConfig
from drcap.devices import resolve_device
from drcap.errors import CheckpointError

MAX_TOKENS = 77
COUNTED = ("position_ids", "token_type_ids")  # 0, 1, 2 ...; some files have them


class LaionCLAP(CLAP):
    """A `ClapModel` of transformers, by hub id or from a local folder.

    Raises CheckpointError if it cannot be loaded, lacks weights, or fuses random crops.
    """

    def __init__(self, name: str, device: str = "auto"):
        self.source = resolve_model(name)
        self.model, extractor, self.tokenizer = _read(self.source)
        self.model.requires_grad_(False).eval().to(resolve_device(device))
        self.settings = FrontEndConfig(
            sr=extractor.sampling_rate,
            seconds=extractor.max_length_s,
            window=extractor.fft_window_size,
            hop=extractor.hop_length,
            mels=extractor.feature_size,
            low=extractor.frequency_min,
            high=extractor.frequency_max,
            floor=1e-10,
        )
        self.front_end = LogMel(self.settings).to(self.model.device)
        self.dim = self.model.config.projection_dim
        self.sr = self.settings.sr
        self.window_seconds = self.settings.seconds
        self.temperature = float((-self.model.logit_scale_a).exp())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight and of the front end's settings."""
        return fingerprint("laion-clap", self.model, [self.settings])

    @torch.inference_mode()
    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        if not len(waveforms):
            return torch.zeros(0, self.dim)
        fitted = fixed_length(waveforms, self.settings).to(self.model.device)
        log_mels = self.front_end(fitted)[:, None]
        with autocast(self.model.device):
            features = self.model.get_audio_features(log_mels)
        return F.normalize(features.pooler_output.float(), dim=-1).cpu()

    @torch.inference_mode()
    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        if not len(captions):
            return torch.zeros(0, self.dim)
        cut = {"truncation": True, "max_length": MAX_TOKENS, "padding": "longest"}
        tokens = self.tokenizer(list(captions), **cut, return_tensors="pt")
        tokens = tokens.to(self.model.device)
        inputs = (tokens["input_ids"], tokens["attention_mask"])
        with autocast(self.model.device):
            features = self.model.get_text_features(*inputs)
        return F.normalize(features.pooler_output.float(), dim=-1).cpu()


def _read(source: str) -> tuple[ClapModel, ClapFeatureExtractor, object]:
    options = {"output_loading_info": True, "dtype": torch.float32}
    try:
        model, loading = ClapModel.from_pretrained(source, **options)
        extractor = ClapFeatureExtractor.from_pretrained(source)
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"LAION-CLAP '{source}' cannot be loaded ({reason}): give a folder that "
            "transformers saved, or a hub id while online"
        ) from None
    for fault in ("missing_keys", "unexpected_keys"):
        if keys := sorted(k for k in loading[fault] if not k.endswith(COUNTED)):
            raise CheckpointError(
                f"LAION-CLAP '{source}': {fault.replace('_', ' ')}: {', '.join(keys)}"
            )
    if model.config.audio_config.enable_fusion:
        raise CheckpointError(
            f"LAION-CLAP '{source}' fuses crops drawn at random; take an unfused one, "
            "such as laion/clap-htsat-unfused"
        )
    return model, extractor, tokenizer
