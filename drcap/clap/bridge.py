"""The caption bridge: an audio encoder for recordings, learned from captions alone.

What it is. f_t is MiniLM, centred on the mean of the captions it was fitted to. f_a
turns what YAMNet recognises into that space by a small network,

    f_a(audio) = unit(W1 x + W3 ReLU(W2 x)),   x = [q^1.5 ; .5 (man, woman)]

with biases. q is each AudioSet class's probability, half its mean and half its maximum
over time; man and woman say whose voice the pitch of speech is. The network was fitted
to tags that are simulated from captions (`simulated_tags`): it was never given an
audio-caption pair, and no recording but for the tags of unlabelled ones, from which the
simulator has its confusions and backgrounds.

What it is not. Not a trained CLAP: it knows 521 classes and nothing between them, no
counts, no order of events. And not free of AudioSet: YAMNet itself was trained on
AudioSet's labels, and AudioCaps' clips come from AudioSet, so that the tagger may have
been trained on clips it is tested on. Its settings were chosen on 43 clips of
AudioCaps' validation split.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from tqdm import trange

from drcap import assets, paths
from drcap.atomic import atomic_path, sha256
from drcap.clap import CLAP
from drcap.clap.simulated_tags import Simulator, class_probabilities, plain_names
from drcap.clap.text_encoder import SentenceEncoder
from drcap.clap.voice import sexes_named, speakers
from drcap.clap.yamnet import SILENCE, SR, YAMNet, pooled
from drcap.errors import CheckpointError

FOLDER = paths.CHECKPOINTS / "bridge"
FITTED, STATISTICS = "bridge.safetensors", "statistics.safetensors"
SHARPNESS = 1.5  # exponent of a class's evidence
HIDDEN, DROPOUT = 512, 0.2
STEPS, BATCH_SIZE = 800, 512
PEAK_LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.03
NAMES_SHARE = 0.05  # of a batch: class names in place of captions, for rare classes


class BridgeNetwork(nn.Module):
    """From evidence (B, classes + 2) to embeddings (B, dim), unit rows."""

    def __init__(self, classes: int, dim: int, hidden: int = HIDDEN):
        super().__init__()
        self.direct = nn.Linear(classes + 2, dim)
        self.first = nn.Linear(classes + 2, hidden)
        self.second = nn.Linear(hidden, dim)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tags: torch.Tensor, speakers: torch.Tensor) -> torch.Tensor:
        """tags : (B, classes) in [0, 1]      speakers : man and woman, (B, 2)"""
        evidence = torch.cat([tags**SHARPNESS, speakers / 2], dim=1)
        hidden = self.dropout(F.relu(self.first(evidence)))
        return F.normalize(self.direct(evidence) + self.second(hidden), dim=1)


class CaptionBridge(CLAP):
    """YAMNet's tags in MiniLM's space. See the module's docstring.

    fitted : what `save` wrote

    Raises CheckpointError if it cannot be read, AssetError without YAMNet or MiniLM.
    """

    sr = SR
    window_seconds = 10.0
    temperature = 0.025

    def __init__(self, fitted: Path = FOLDER / FITTED):
        tensors = _read(fitted)
        self.tagger = YAMNet(assets.asset_path("yamnet"))
        try:
            self.text_mean = tensors.pop("text_mean").float()  # (D,)
            self.dim = len(self.text_mean)
            hidden = len(tensors["first.bias"])
            classes = len(self.tagger.class_names)
            self.network = BridgeNetwork(classes, self.dim, hidden).eval()
            self.network.load_state_dict(tensors)
        except (KeyError, RuntimeError) as error:
            raise _unreadable(fitted, error) from None
        self.silence = self.tagger.class_names.index(SILENCE)
        self.text_model = assets.resolve_model("all-minilm-l6-v2")
        self.fingerprint = f"caption-bridge-{sha256(fitted)[:12]}"

    @cached_property
    def sentences(self) -> SentenceEncoder:
        """MiniLM, loaded when a text is embedded: a kept datastore needs none."""
        return SentenceEncoder(self.text_model)

    def tags(self, waveform: np.ndarray) -> np.ndarray:
        """Return class probabilities of a waveform (n,) at 16 kHz: (521,) in [0, 1]."""
        return pooled(self.tagger.tag(waveform))

    def encode_audio(self, waveforms: Sequence[np.ndarray]) -> torch.Tensor:
        """Embed B waveforms, each (n,) float32 at 16 kHz -> (B, D), unit rows."""
        tags = np.zeros((len(waveforms), len(self.tagger.class_names)), np.float32)
        sexes = np.zeros((len(waveforms), 2), np.float32)
        for row, waveform in enumerate(waveforms):
            over_time = self.tagger.tag(waveform)
            tags[row] = pooled(over_time)
            sexes[row] = speakers(waveform, over_time, self.tagger.class_names)
        return self.embed(torch.from_numpy(tags), torch.from_numpy(sexes))

    @torch.inference_mode()
    def embed(self, tags: torch.Tensor, speakers: torch.Tensor) -> torch.Tensor:
        """Embed the tags (B, 521) and speakers (B, 2) of B recordings -> (B, D)."""
        audible = tags.clone()
        audible[:, self.silence] = 0  # handled before captioning
        rows = zip(audible.split(1), speakers.split(1), strict=True)
        embeddings = [self.network(*row) for row in rows]  # whatever the batch
        return torch.cat(embeddings) if embeddings else torch.zeros(0, self.dim)

    def encode_text(self, captions: Sequence[str]) -> torch.Tensor:
        """Embed B captions -> (B, D) float32, unit rows."""
        return F.normalize(self.sentences.encode(captions) - self.text_mean, dim=-1)


def fit(
    class_names: Sequence[str],
    captions: Sequence[str],
    sentences: SentenceEncoder,
    statistics: dict[str, torch.Tensor],
    *,
    seed: int = 0,
    steps: int = STEPS,
    progress: bool = True,
) -> dict[str, torch.Tensor]:
    """Fit the network to captions; a minute on a core once they are embedded.

    statistics : of how YAMNet confuses classes, see `simulated_tags.statistics`

    returns : the network's weights in float16, and `text_mean` (D,) float32
    """
    captions = list(dict.fromkeys(captions))
    embeddings = sentences.encode(captions)
    text_mean = embeddings.mean(0)
    names = plain_names(class_names)
    texts = [*captions, *names]
    targets = torch.cat([embeddings, sentences.encode(names)]) - text_mean
    targets = F.normalize(targets, dim=-1)  # f_t of captions and of names
    likely = class_probabilities(texts, class_names, sentences, text_mean)
    likely[len(captions) :][np.diag_indices(len(names))] = 1
    likely[:, list(class_names).index(SILENCE)] = 0  # handled before captioning
    named = sexes_named(texts)
    simulator = Simulator(class_names, statistics)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = BridgeNetwork(len(class_names), targets.shape[1])
    rate = PEAK_LEARNING_RATE
    optimiser = torch.optim.AdamW(network.parameters(), rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for _ in trange(steps, desc="fitting the bridge", disable=not progress):
        rows = rng.integers(len(captions), size=BATCH_SIZE)
        others = rng.integers(len(captions), len(texts), size=BATCH_SIZE)
        rows = np.where(rng.random(BATCH_SIZE) < NAMES_SHARE, others, rows)
        tags, sexes = simulator.draw(likely[rows], named[rows], rng)
        embedded = network(torch.from_numpy(tags), torch.from_numpy(sexes))
        loss = (1 - (embedded * targets[rows]).sum(1)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    weights = {name: value.half() for name, value in network.state_dict().items()}
    return weights | {"text_mean": text_mean}


def read_statistics(file: Path = FOLDER / STATISTICS) -> dict[str, torch.Tensor]:
    """Read the shipped statistics of YAMNet; CheckpointError if they cannot be."""
    return _read(file)


def save(tensors: dict[str, torch.Tensor], target: Path) -> None:
    """Write what `fit` returns as safetensors, whole or not at all."""
    with atomic_path(target) as path:
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)


def _read(file: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(file)
    except Exception as error:
        raise _unreadable(file, error) from None


def _unreadable(file: Path, error: Exception) -> CheckpointError:
    reason = " ".join(str(error).split())
    return CheckpointError(
        f"{file}: not of a fitted bridge ({reason}); refit it with `drcap train bridge`"
    )
