"""DRCap at inference (sec. II): CLAP -> retrieval and projection -> captioner.

Captions recordings with a trained captioner. The datastore (what is retrieved) and the
support (what embeddings are projected onto) are plain caption collections and can be
swapped at every call, without training.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from drcap import audio, model_folder, paths
from drcap.audio import waveforms
from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.clap import CLAP, load_clap
from drcap.clap.batches import encode_windows
from drcap.config import Config, override
from drcap.devices import inference_dtype, resolve_device
from drcap.errors import AudioError, DatastoreError
from drcap.files import write_json
from drcap.projection import project
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.default import default_datastore
from drcap.retrieval.matches import Match

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
    """A CLAP model and a captioner trained on captions in its text space.

    datastore, support : its own, an (N, D) array of unit rows the latter, taken where a
        call gives none; without them AudioCaps' training captions are both
    """

    def __init__(
        self,
        clap: CLAP,
        captioner: Captioner,
        config: Config,
        *,
        datastore: CaptionDatastore | None = None,
        support: np.ndarray | None = None,
    ):
        self.clap = clap
        self.captioner = captioner.eval()
        self.config = config
        self.datastore = datastore
        self.support = support

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | Path | None = None, device: str = "auto"
    ) -> "DRCap":
        """Load a saved model: a folder, a hub id, or by default the shipped one."""
        named = SHIPPED if path_or_hub_id is None else path_or_hub_id
        folder = model_folder.find(named)
        config = model_folder.read_config(folder)
        clap = load_clap(config.clap)
        where = resolve_device(device)
        dtype = inference_dtype(where, config.generation.dtype)
        captioner = Captioner.load(folder, clap.dim, config.captioner, dtype)
        return cls(
            clap,
            captioner.to(where),
            config,
            datastore=model_folder.read_datastore(folder, clap),
            support=model_folder.read_support(folder, clap),
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, mapper, adapter and its own captions; never a frozen weight."""
        folder = Path(folder)
        self.captioner.save(folder)
        if self.datastore is not None:
            self.datastore.save(folder / model_folder.DATASTORE)
        if self.support is not None:
            model_folder.write_support(folder, self.support)
        write_json(folder / model_folder.CONFIG, self.config.to_dict())

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

        datastore : captions to retrieve from; default: the model's own, or else
            AudioCaps' training captions
        support : captions to project onto (S in eq. 4); default: likewise
        settings : top_k, retrieval, num_beams, projection, temperature; default: config

        DatastoreError if another CLAP model made the datastore or the support.
        """
        config = _adjusted(self.config, **settings)
        if config.retrieval.enabled:
            datastore = self._given_or_own_datastore(datastore)
        rows = None  # of the support
        if config.projection.enabled:
            rows = self._given_or_own_support(support)
        remaining = iter(recordings)
        while group := list(islice(remaining, self.group_size)):
            yield from self._caption_group(group, datastore, rows, config)

    @property
    def group_size(self) -> int:
        """How many recordings are encoded, and then sorted by length, at a time."""
        return 2 * self.config.generation.batch_size

    def _given_or_own_datastore(
        self, given: CaptionDatastore | None
    ) -> CaptionDatastore:
        if given is not None:
            return self._checked(given)
        return self._default_datastore if self.datastore is None else self.datastore

    def _given_or_own_support(self, given: CaptionDatastore | None) -> np.ndarray:
        """Return S in eq. 4, (N, D)."""
        if given is not None:
            return self._checked(given).embeddings
        if self.support is not None:
            return self.support
        return self._default_datastore.embeddings

    def _checked(self, given: CaptionDatastore) -> CaptionDatastore:
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
        duration. In the authors' style only its beginning is read. AudioError if it
        cannot be.
        """
        windows = ((0, window) for window in self._windows(recording))
        [embedding] = encode_windows(windows, 1, self.clap)
        return embedding if embedding.any() else None

    def _windows(self, recording: Recording) -> Iterable[np.ndarray]:
        sr, seconds = self.clap.sr, self.clap.window_seconds
        beginning = self.config.captioner.style == "authors"
        if isinstance(recording, np.ndarray):
            return waveforms.windows(recording, sr, seconds, beginning=beginning)
        if beginning:
            return [audio.first_seconds(recording, sr, seconds)]
        return audio.windows(recording, sr, seconds)

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
                support,
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


def _silent(file: str | None, seconds: float) -> Captioned:
    warning = f"{file or 'waveform'}: silent, so no event is named"
    timings = {"encode": seconds}
    return Captioned(file, SILENCE, [], round(seconds, 4), timings, warning)
