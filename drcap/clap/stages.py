"""The trained CLAP model of a profile (sec. III-A), and clips embedded with it.

Notebooks and the run graph start from the same model: it is trained once, kept in the
cache folder and found again by its configuration.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from drcap import paths
from drcap.clap.batches import encode_captions, encode_recordings
from drcap.clap.encoder import CLAP
from drcap.clap.model import CLAPModel, TrainedCLAP
from drcap.clap.train import CLAPRun, train_clap
from drcap.config import CLAPConfig, clap_profile, override
from drcap.data.captions import Clip
from drcap.data.corpora import corpora
from drcap.evaluation.cross_modal import retrieval_scores


@dataclass(frozen=True)
class EmbeddedClips:
    """N clips and all their captions in the space of one CLAP model."""

    audio: np.ndarray  # (N, D) float32, unit rows
    text: np.ndarray  # (M, D) float32, unit rows
    clip_of_text: np.ndarray  # (M,), the clip that each caption describes

    @property
    def first_text(self) -> np.ndarray:
        """Each clip's first caption, (N, D): with `audio`, N pairs."""
        return self.text[np.unique(self.clip_of_text, return_index=True)[1]]

    def scores(self) -> dict[str, dict[str, float]]:
        """Return the retrieval scores in both directions."""
        return retrieval_scores(self.audio, self.text, self.clip_of_text)


def trained_clap(profile: str, seed: int = 0, *, progress: bool = True) -> CLAPRun:
    """Return the CLAP model of a profile, trained on weak captions, targets removed.

    The validation clips of ac are only measured on; the last epoch's model is the
    result. A finished run is returned as it is, a killed one goes on.
    """
    config = override(clap_profile(profile), {"seed": seed})
    data = corpora(profile, progress=progress)
    clips = data.pairs
    return train_clap(
        config,
        clips,
        run_folder(f"clap-{profile}", config, clips),
        validation=data.clips("ac", "val"),
        progress=progress,
    )


def run_folder(label: str, config: CLAPConfig, clips: Sequence[Clip]) -> Path:
    """Return where a run of `config` on these clips lives; the same at each call."""
    named = [(clip.dataset, clip.clip_id, clip.captions) for clip in clips]
    content = json.dumps([config.to_dict(), named], sort_keys=True)
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    return paths.runs() / f"{label}-seed-{config.seed}-{digest}"


def untrained_clap(trained: TrainedCLAP, seed: int) -> TrainedCLAP:
    """Return the model as `seed` initialises it, before any training on pairs.

    The statistics of the mel bands are kept: they are the data's, not the training's.
    """
    torch.manual_seed(seed)
    model = CLAPModel(trained.model.config).to(trained.model.device)
    fitted = trained.model.normalisation
    model.fit_normalisation(fitted.running_mean, fitted.running_var)
    return TrainedCLAP(model)


def embed_clips(
    clips: Sequence[Clip], clap: CLAP, *, progress: bool = True
) -> EmbeddedClips:
    """Embed clips whose audio is here, and their captions in order."""
    captions = [caption for clip in clips for caption in clip.captions]
    return EmbeddedClips(
        encode_recordings([clip.path for clip in clips], clap, progress=progress),
        encode_captions(captions, clap, progress=progress),
        np.repeat(np.arange(len(clips)), [len(clip.captions) for clip in clips]),
    )
