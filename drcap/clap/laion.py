"""LAION-CLAP (Wu et al., 2023) as transformers publishes it, with its own front end.

In: waveforms at 48 kHz and captions; out: unit rows. Checked against transformers' own
feature extractor and model. Two stated differences from that extractor: a short clip is
followed by zeros instead of repeats, and a long one is never cropped at random.
"""

from collections.abc import Sequence
from functools import cached_property

import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

from drcap.assets import resolve_model
from drcap.clap.front_end import LogMel
from drcap.clap.model import TorchCLAP, fingerprint
from drcap.config import FrontEndConfig
from drcap.devices import resolve_device
from drcap.errors import CheckpointError

MAX_TOKENS = 77
COUNTED = ("position_ids", "token_type_ids")  # 0, 1, 2 ...; some files have them


class LaionCLAP(TorchCLAP):
    """A `ClapModel` of transformers, by hub id or from a local folder.

    Raises CheckpointError if it cannot be loaded, lacks weights, or fuses random crops.
    """

    def __init__(self, name: str, device: str = "auto", dtype: str = "auto"):
        self.source = resolve_model(name)
        model, extractor, self.tokenizer = _read(self.source)
        model.requires_grad_(False).to(resolve_device(device))
        settings = FrontEndConfig(
            sr=extractor.sampling_rate,
            seconds=extractor.max_length_s,
            window=extractor.fft_window_size,
            hop=extractor.hop_length,
            mels=extractor.feature_size,
            low=extractor.frequency_min,
            high=extractor.frequency_max,
            floor=1e-10,
        )
        front_end = LogMel(settings).to(model.device)
        super().__init__(model, front_end, model.config.projection_dim, dtype)
        self.temperature = float((-model.logit_scale_a).exp())

    @cached_property
    def fingerprint(self) -> str:
        """Hash of every weight and of the front end's settings."""
        return fingerprint("laion-clap", self.model, [self.front_end.config])

    def embed_log_mels(self, log_mels: torch.Tensor) -> torch.Tensor:
        features = self.model.get_audio_features(log_mels[:, None])
        return F.normalize(features.pooler_output.float(), dim=-1)

    def embed_text(self, captions: Sequence[str]) -> torch.Tensor:
        cut = {"truncation": True, "max_length": MAX_TOKENS, "padding": "longest"}
        tokens = self.tokenizer(list(captions), **cut, return_tensors="pt")
        tokens = tokens.to(self.model.device)
        inputs = (tokens["input_ids"], tokens["attention_mask"])
        features = self.model.get_text_features(*inputs)
        return F.normalize(features.pooler_output.float(), dim=-1)


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
