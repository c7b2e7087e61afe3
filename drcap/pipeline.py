"""DRCap at inference (sec. II): CLAP -> retrieval and projection -> captioner.

Captions recordings with a trained captioner. The datastore (what is retrieved) and the
support (what embeddings are projected onto) are plain caption collections and can be
swapped at every call, without training.
"""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from drcap import assets, audio, paths
from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.clap import CLAP, load_clap
from drcap.clap.batches import encode_windows
from drcap.config import Config, override
from drcap.data.audiocaps import read_training_captions
from drcap.devices import inference_dtype, resolve_device
from drcap.errors import AudioError, CheckpointError, ConfigError, DatastoreError
from drcap.files import write_json
from drcap.projection import project
from drcap.retrieval import CaptionDatastore, Match, distinct

SHIPPED = paths.CHECKPOINTS / "audiocaps"  # trained on AudioCaps captions
SILENCE = "Silence"

Recording = str | Path | np.ndarray  # a file, or a mono waveform at the CLAP's rate


@dataclass(frozen=True)
class Captioned:
    """One recording's result; `caption` is None exactly when `error` says why."""

    file: str | None  # None for a waveform
    caption: str | None
    similar_captions: list[Match] = field(default_factory=list)
    seconds: float = 0.0  # its share of the time of encoding and decoding
    timings: dict[str, float] = field(default_factory=dict)  # the same, by stage
    warning: str | None = None
    error: str | None = None


class DRCap:
    """A CLAP model and a captioner trained on captions in its text space."""

    def __init__(self, clap: CLAP, captioner: Captioner, config: Config):
        self.clap = clap
        self.captioner = captioner.eval()
        self.config = config

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | Path | None = None, device: str = "auto"
    ) -> "DRCap":
        """Load a saved model: a folder, a hub id, or by default the shipped one."""
        folder = _checkpoint_folder(path_or_hub_id)
        config = _read_config(folder)
        clap = load_clap(config.clap)
        where = resolve_device(device)
        dtype = inference_dtype(where, config.generation.dtype)
        captioner = Captioner.load(folder, clap.dim, config.captioner, dtype)
        return cls(clap, captioner.to(where), config)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, mapper and adapter; never a frozen weight."""
        self.captioner.save(Path(folder))
        write_json(Path(folder) / "config.json", self.config.to_dict())

    def caption(
        self, audio: Recording | Sequence[Recording], **options
    ) -> Captioned | list[Captioned]:
        """Caption one recording, or a list of them; options as in `caption_stream`.

        A single recording that cannot be read raises AudioError. In a list it is
        reported in its result's `error` and the rest completes.
        """
        if isinstance(audio, str | Path | np.ndarray):
            result = next(self.caption_stream([audio], **options))
            if result.error:
                raise AudioError(result.error)
            return result
        return list(self.caption_stream(audio, **options))

    def caption_stream(
        self,
        recordings: Sequence[Recording],
        *,
        datastore: CaptionDatastore | None = None,
        support: CaptionDatastore | None = None,
        **settings,
    ) -> Iterator[Captioned]:
        """Yield a result for each recording, in order, as groups of them are done.

        datastore : captions to retrieve from; default: AudioCaps' training captions
        support : captions to project onto (S in eq. 4); default: likewise
        settings : top_k, retrieval, num_beams, projection, temperature; default: config

        DatastoreError if another CLAP model made the datastore or the support.
        """
        config = _adjusted(self.config, **settings)
        if config.retrieval.enabled:
            datastore = self._captions(datastore)
        if config.projection.enabled:
            support = self._captions(support)
        remaining = iter(recordings)
        while group := list(islice(remaining, 2 * config.generation.batch_size)):
            yield from self._caption_group(group, datastore, support, config)

    def _captions(self, given: CaptionDatastore | None) -> CaptionDatastore:
        if given is None:
            return self._default_datastore
        if given.encoder != self.clap.fingerprint:
            raise DatastoreError(
                f"the captions given were embedded by {given.encoder}, not by "
                f"{self.clap.fingerprint}: build the datastore again"
            )
        return given

    @cached_property
    def _default_datastore(self) -> CaptionDatastore:
        return default_datastore(self.clap, self.config.captions, self.config.seed)

    def embed(self, recording: Recording) -> torch.Tensor | None:
        """Return f_a of a recording, (D,) unit norm; None if all of it is silent.

        A long recording is read in windows; its embedding is their mean, weighted by
        duration. AudioError if it cannot be read.
        """
        windows = ((0, window) for window in self._windows(recording))
        [embedding] = encode_windows(windows, 1, self.clap)
        return embedding if embedding.any() else None

    def _windows(self, recording: Recording) -> Iterator[np.ndarray]:
        sr, seconds = self.clap.sr, self.clap.window_seconds
        if not isinstance(recording, np.ndarray):
            return audio.windows(recording, sr, seconds)
        _check_waveform(recording)
        size, length = round(sr * seconds), len(recording)
        # a short tail is dropped, as in a file
        stop = max(1, length - round(audio.LEAST_TAIL * sr) + 1)
        waveform = recording.astype(np.float32, copy=False)
        return (waveform[start : start + size] for start in range(0, stop, size))

    def _caption_group(self, group, datastore, support, config) -> list[Captioned]:
        results: list[Captioned | None] = [None] * len(group)
        audible: dict[int, tuple[torch.Tensor, float]] = {}  # place: (E_a, seconds)
        for place, recording in enumerate(group):
            file = None if isinstance(recording, np.ndarray) else str(recording)
            start = time.perf_counter()
            try:
                embedding = self.embed(recording)
            except AudioError as error:
                results[place] = Captioned(file, None, error=str(error))
                continue
            seconds = time.perf_counter() - start
            if embedding is None:
                results[place] = _silent(file, seconds)
            else:
                results[place] = Captioned(file, None)
                audible[place] = (embedding, seconds)
        if audible:
            embeddings = torch.stack([embedding for embedding, _ in audible.values()])
            decoded = self._decode(embeddings, datastore, support, config)
            for (place, (_, seconds)), (caption, similar, timings) in zip(
                audible.items(), decoded, strict=True
            ):
                timings = {"encode": seconds} | timings
                results[place] = Captioned(
                    results[place].file,
                    caption,
                    similar,
                    round(sum(timings.values()), 4),
                    timings,
                )
        return results

    def _decode(self, audio_embeds, datastore, support, config):
        """Retrieve, project and generate for (B, D) audio embeddings."""
        start = time.perf_counter()
        similar = [[] for _ in audio_embeds]
        if config.retrieval.enabled and config.retrieval.top_k > 0:
            similar = datastore.search(audio_embeds, config.retrieval.top_k)
        retrieved = time.perf_counter()
        embeddings = audio_embeds
        if config.projection.enabled:
            embeddings = project(
                audio_embeds,
                support.embeddings,
                config.projection.temperature or self.clap.temperature,
                renormalise=config.projection.renormalise,
            )
        projected = time.perf_counter()
        texts = [[match.caption for match in matches] for matches in similar]
        captions = generate(self.captioner, embeddings, texts, config.generation)
        count = len(audio_embeds)
        timings = {
            "retrieve": (retrieved - start) / count,
            "project": (projected - retrieved) / count,
            "generate": (time.perf_counter() - projected) / count,
        }
        return [(c, s, timings) for c, s in zip(captions, similar, strict=True)]


def default_captions(count: int | None = None, seed: int = 0) -> list[str]:
    """Return AudioCaps' training captions in their order, repeats included.

    count : draw only so many distinct ones, at random by `seed`
    """
    source = assets.asset_path("audiocaps-captions") / "train_v2.csv"
    captions = read_training_captions(source)
    if count is None:
        return captions
    texts = distinct(captions)
    count = min(count, len(texts))
    rows = np.random.default_rng(seed).choice(len(texts), count, replace=False)
    return [texts[row] for row in sorted(rows)]


def default_datastore(
    clap: CLAP, count: int | None = None, seed: int = 0, progress: bool = True
) -> CaptionDatastore:
    """Return `default_captions` in `clap`'s space, encoded once and kept."""
    sample = "" if count is None else f"-{count}-seed-{seed}"
    folder = paths.datastores() / f"audiocaps-{clap.fingerprint}{sample}"
    if folder.exists():
        return CaptionDatastore.load(folder, clap)
    captions = default_captions(count, seed)
    datastore = CaptionDatastore.build(captions, clap, progress=progress)
    datastore.save(folder)
    return datastore


def _adjusted(
    config: Config,
    *,
    top_k: int | None = None,
    retrieval: bool | None = None,
    num_beams: int | None = None,
    projection: bool | None = None,
    temperature: float | None = None,
) -> Config:
    """Return `config` with the settings of one call; None keeps what it has."""
    changes = {
        "retrieval": {"top_k": top_k, "enabled": retrieval},
        "projection": {"enabled": projection, "temperature": temperature},
        "generation": {"num_beams": num_beams},
    }
    given = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in changes.items()
    }
    return override(config, given)


def _check_waveform(waveform: np.ndarray) -> None:
    if waveform.ndim != 1 or not len(waveform):
        raise AudioError(f"waveform: expected (n,) samples, got {waveform.shape}")
    if not np.issubdtype(waveform.dtype, np.floating):
        raise AudioError(
            f"waveform: expected float samples in [-1, 1], got {waveform.dtype}; "
            "divide by the type's largest value"
        )
    if not np.isfinite(waveform).all():
        raise AudioError("waveform: holds NaN or infinite samples")


def _silent(file: str | None, seconds: float) -> Captioned:
    warning = f"{file or 'waveform'}: silent, so no event is named"
    timings = {"encode": seconds}
    return Captioned(file, SILENCE, [], round(seconds, 4), timings, warning)


def _checkpoint_folder(path_or_hub_id: str | Path | None) -> Path:
    if path_or_hub_id is None:
        return SHIPPED
    if Path(path_or_hub_id).is_dir():
        return Path(path_or_hub_id)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path_or_hub_id)))
    except Exception as error:
        raise CheckpointError(
            f"{path_or_hub_id}: neither a folder nor a model on the hub "
            f"({type(error).__name__})"
        ) from None


def _read_config(folder: Path) -> Config:
    path = folder / "config.json"
    try:
        return Config.from_dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing; not a saved DRCap model") from None
    except ValueError as error:
        raise CheckpointError(f"{path}: not JSON ({error}); copy it again") from None
    except ConfigError as error:
        raise CheckpointError(f"{path}: {error}") from None
