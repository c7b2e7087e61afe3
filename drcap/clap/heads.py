"""Projection heads trained anew, in seconds: what makes the modality gap (Fig. 1).

Audio and text encoder stay as they are and are read once, so that only the two heads
learn. What is varied is what others hold responsible: the temperature (Liang et al.,
2022), mismatched pairs and a learned temperature (Yaras et al., arXiv 2412.07909), the
cones of the initialisation against the loss itself (Fahim et al., arXiv 2405.18570).
"""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from drcap import cache
from drcap.clap.batches import encode_over_time, longest_first
from drcap.clap.model import CLAPModel, TrainedCLAP, autocast, contrastive_loss
from drcap.data.clip import Clip
from drcap.errors import ConfigError
from drcap.evaluation.retrieval_scores import retrieval_scores
from drcap.modality_gap import gap_statistics

AT_ONCE = 256  # captions through the text encoder


@dataclass(frozen=True)
class States:
    """What the encoders give of N clips and R captions of each, before the heads."""

    audio: torch.Tensor  # (N, C) float32
    text: torch.Tensor  # (N, R, H) float32


@dataclass(frozen=True)
class Stage:
    """Held-out clips as they are embedded after some steps."""

    step: int
    temperature: float
    audio: np.ndarray  # (N, D) float32, unit rows
    text: np.ndarray  # (N, R, D) float32, unit rows

    def measures(self) -> dict[str, float]:
        """Return gap, mean cosine of pairs and of others, and R@10, audio to text."""
        gap = gap_statistics(self.audio, self.text)
        clips = np.repeat(np.arange(len(self.text)), self.text.shape[1])
        text = self.text.reshape(len(clips), -1)
        scores = retrieval_scores(self.audio, text, clips)
        found = {"gap": gap.distance, "paired": gap.paired, "unpaired": gap.unpaired}
        return found | {"R@10": scores["audio_to_text"]["R@10"]}


def read_states(clips: Sequence[Clip], clap: TrainedCLAP) -> States:
    """Read the first window of clips, and as many captions of each as all have; kept.

    AudioError for a recording that cannot be read.
    """
    count = min(len(clip.captions) for clip in clips)
    captions = [text for clip in clips for text in clip.captions[:count]]
    paths = [str(clip.path) for clip in clips]

    @torch.inference_mode()
    def pool_audio(waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        log_mels = clap.log_mels(waveforms)[:, None]
        with autocast(clap.model.device):
            states = clap.model.audio_encoder(input_features=log_mels)
        return states.pooler_output[:, None].float()  # (B, 1, C)

    @torch.inference_mode()
    def read() -> dict[str, np.ndarray]:
        audio = encode_over_time(paths, clap, pool_audio, 1)
        text = torch.empty(len(captions), clap.model.text_encoder.width)
        for rows in longest_first(captions, AT_ONCE, "reading captions"):
            text[rows] = clap.model.pool_text([captions[row] for row in rows]).cpu()
        return {"audio": audio[:, 0], "text": text.unflatten(0, (-1, count)).numpy()}

    kept = cache.keep("states", [clap.fingerprint, paths, captions], read)
    return States(**{name: torch.from_numpy(rows) for name, rows in kept.items()})


def train_heads(
    initial: CLAPModel,
    pairs: States,
    held_out: States,
    *,
    temperature: float,
    learned: bool = False,
    rate: float = 1e-3,
    mismatched: float = 0.0,
    centred: bool = False,
    stops: Sequence[int] = (600,),
    batch_size: int = 256,
    seed: int = 0,
) -> list[Stage]:
    """Train heads from `initial`'s on pairs; return the held-out clips at `stops`.

    temperature : of the contrastive loss, fixed unless it is `learned`
    rate : Adam's, constant
    mismatched : share of the pairs, in [0, 1], whose captions change places for good
    centred : start without a gap, each modality around the origin
    stops : rising numbers of steps, of which the last ends the training

    ConfigError for an impossible temperature or share.
    """
    if not (temperature > 0 and 0 <= mismatched <= 1):
        raise ConfigError(
            f"temperature {temperature}, mismatched {mismatched}: the first must be "
            "above 0, the second in [0, 1]"
        )
    heads = nn.ModuleList([initial.audio_projection, initial.text_projection])
    heads = deepcopy(heads).cpu().requires_grad_(True)
    if centred:
        with torch.no_grad():
            for head, rows in zip(heads, (pairs.audio, pairs.text), strict=True):
                head[-1].bias -= head(rows).flatten(0, -2).mean(dim=0)
    log_temperature = torch.tensor(math.log(temperature), requires_grad=learned)
    learning = [*heads.parameters(), *[log_temperature] * learned]
    optimiser = torch.optim.Adam(learning, rate)
    count, draw = len(pairs.audio), np.random.default_rng(seed)
    captions = np.arange(count)
    moved = draw.permutation(count)[: round(mismatched * count)]
    captions[moved] = np.roll(moved, 1)  # a cycle: none keeps its own

    def embed(*states: torch.Tensor) -> list[torch.Tensor]:
        return [F.normalize(h(x), dim=-1) for h, x in zip(heads, states, strict=True)]

    stages = []
    for step in range(stops[-1] + 1):
        if step in stops:
            embedded = embed(held_out.audio, held_out.text)
            rows = [modality.detach().numpy() for modality in embedded]
            stages.append(Stage(step, log_temperature.exp().item(), *rows))
        rows = draw.permutation(count)[:batch_size]
        one = draw.integers(pairs.text.shape[1], size=len(rows))
        batch = embed(pairs.audio[rows], pairs.text[captions[rows], one])
        own = torch.arange(len(rows))  # one right answer each
        loss = contrastive_loss(*batch, log_temperature.exp(), own)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return stages
