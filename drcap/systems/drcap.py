"""DRCap (sec. II): CLAP -> retrieval and projection -> captioner.

One class captions recordings, as `drcap caption` does, and embedded clips, as the grid
does; both ways lead through `DRCap.decode`. Datastore (what is retrieved) and support
(what embeddings are projected onto) are plain collections of captions and can be
swapped at every call, without training.
"""

import copy
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from drcap import audio, paths
from drcap.atomic import write_json
from drcap.captioner.choice import Choice
from drcap.captioner.generate import generate_beams
from drcap.captioner.model import (
    CONFIG,
    DATASTORE,
    Captioner,
    read_config,
    read_support,
    write_support,
)
from drcap.clap import CLAP
from drcap.clap.batches import encode_recordings, encode_windows
from drcap.config import Config, ExperimentsConfig, override
from drcap.errors import AudioError, CheckpointError, DatastoreError
from drcap.joint_space import JointSpace
from drcap.load import load_clap
from drcap.projection import project
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.default import default_datastore
from drcap.systems import hub
from drcap.systems.base import Captioned, ClipBatch, Similar, around_silence
from drcap.systems.language_model import LanguageModelSystem

SHIPPED = paths.CHECKPOINTS / "audiocaps"  # trained on AudioCaps captions
# the options of one call: section and key in the configuration
OPTIONS = {
    "top_k": ("retrieval", "top_k"),
    "retrieval": ("retrieval", "enabled"),
    "num_beams": ("generation", "num_beams"),
    "batch_size": ("generation", "batch_size"),
    "choice": ("generation", "choice"),
    "sample": ("generation", "sample"),
    "sampling_temperature": ("generation", "temperature"),
    "top_p": ("generation", "top_p"),
    "seed": ("generation", "seed"),
    "projection": ("projection", "enabled"),
    "temperature": ("projection", "temperature"),
}

Recording = str | Path | np.ndarray  # a file, or a mono waveform at the CLAP's rate
Captions = CaptionDatastore | np.ndarray


class DRCap(LanguageModelSystem):
    """A CLAP model and a captioner trained on captions in its text space.

    captioner, config : as trained; None until `fit` or `load`
    datastore, support : a CaptionDatastore and S, (N, D) unit rows, taken where a call
        gives none; without them AudioCaps' training captions are both
    space : the JointSpace in which `caption_clips` embeds and retrieves
    """

    def __init__(
        self,
        clap: CLAP,
        captioner: Captioner | None = None,
        config: Config | None = None,
        *,
        datastore=None,
        support=None,
        space=None,
    ):
        super().__init__(space or JointSpace(clap, ()))
        self.clap, self.captioner, self.config = clap, captioner, config
        self.datastore, self.support = datastore, support
        self.retrieved = ExperimentsConfig().retrieved
        self._choices: list[Choice] = []  # the last one, also of `adjusted` copies
        if captioner is not None:
            captioner.eval()

    @classmethod
    def in_space(cls, space: JointSpace) -> Self:
        return cls(space.clap, space=space)

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: str | Path | None = None, device: str = "auto"
    ) -> Self:
        """Load a saved model: a folder, a hub id, or by default the shipped one.

        CheckpointError if it is missing, damaged or does not fit its CLAP model.
        """
        folder = _find(SHIPPED if path_or_hub_id is None else path_or_hub_id)
        config = read_config(folder)
        clap = load_clap(config.clap)
        model = cls(clap, config=config, support=read_support(folder, clap.dim))
        if (own := folder / DATASTORE).exists():
            model.datastore = CaptionDatastore.load(own, clap)
        model.folder = folder
        model.load_captioner(device=device)
        return model

    def save_pretrained(self, folder: str | Path) -> None:
        """Write config, mapper, adapter and its own captions; never a frozen weight."""
        folder = Path(folder)
        self.captioner.save(folder)
        if self.datastore is not None:
            self.datastore.save(folder / DATASTORE)
        if self.support is not None:
            write_support(folder, self.support)
        write_json(folder / CONFIG, self.config.to_dict())

    save = save_pretrained

    def push_to_hub(self, repo_id: str, *, private: bool | None = None) -> str:
        """Upload the model with a card, as `drcap.systems.hub.push` says."""
        return hub.push(self, repo_id, private)

    # recordings

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
        recordings: Iterable[Recording],
        *,
        datastore: CaptionDatastore | None = None,
        support: CaptionDatastore | None = None,
        **options,
    ) -> Iterator[Captioned]:
        """Yield a result for each recording, in order, as groups of them are done.

        datastore : captions to retrieve from; default: the model's own, or else
            AudioCaps' training captions
        support : captions to project onto (S in eq. 4); default: likewise
        options : those of OPTIONS; default: as configured

        DatastoreError if another CLAP model made the datastore or the support;
        ConfigError for an impossible setting.
        """
        model = self.adjusted(_changed(self.config, options))
        generation = model.config.generation
        if model.config.retrieval.enabled or generation.choice == "mbr":
            datastore = self._given_or_own(datastore, self.datastore)
        rows = None  # of the support
        if model.config.projection.enabled:
            support = self._given_or_own(support, self.support)
            rows = getattr(support, "embeddings", support)
        remaining = iter(recordings)
        while group := list(islice(remaining, self.group_size)):
            yield from model._caption_group(group, datastore, rows)

    @property
    def group_size(self) -> int:
        """How many recordings are encoded at a time."""
        return 2 * self.config.generation.batch_size

    def embed(self, recording: Recording) -> torch.Tensor:
        """Return f_a of a recording, (D,) unit norm; zeros if it is silent throughout.

        The mean of a long recording's windows, weighted by duration; in the authors'
        style only its beginning. AudioError if it cannot be read.
        """
        beginning = self.config.captioner.style == "authors"
        if not isinstance(recording, np.ndarray):
            options = {"batch_size": 1, "beginning": beginning, "progress": False}
            rows = encode_recordings([recording], self.clap, **options)
            return torch.from_numpy(rows)[0]
        sizes = self.clap.sr, self.clap.window_seconds
        windows = audio.waveform_windows(recording, *sizes, beginning=beginning)
        return encode_windows(((0, window) for window in windows), 1, self.clap)[0]

    def _caption_group(self, group, datastore, support) -> list[Captioned]:
        started = time.perf_counter()
        files = [None if isinstance(r, np.ndarray) else str(r) for r in group]
        embeddings, errors = torch.zeros(len(group), self.clap.dim), {}
        for place, recording in enumerate(group):
            try:
                embeddings[place] = self.embed(recording)
            except AudioError as error:
                errors[place] = Captioned(files[place], None, error=str(error))

        def caption(rows: list[int]) -> tuple[list[str], Similar]:
            similar = [[] for _ in rows]
            if self._top_k:
                similar = datastore.search(embeddings[rows], self._top_k)
            return self.decode(embeddings[rows], similar, support, datastore), similar

        results = around_silence(files, embeddings, caption)
        seconds = round((time.perf_counter() - started) / len(group), 4)
        return [
            errors.get(place) or replace(result, seconds=seconds)
            for place, result in enumerate(results)
        ]

    def _given_or_own(self, given: CaptionDatastore | None, own: Captions | None):
        if given is None:
            return self._default_datastore if own is None else own
        if given.encoder != self.clap.fingerprint:
            raise DatastoreError(
                f"the captions given were embedded by {given.encoder}, not by "
                f"{self.clap.fingerprint}: build the datastore again"
            )
        return given

    @cached_property
    def _default_datastore(self) -> CaptionDatastore:
        return default_datastore(self.clap, self.config.captions, self.config.seed)

    # embedded clips: a system of the grid

    def load(self, folder: Path, config: ExperimentsConfig) -> None:
        self.retrieved = config.retrieved
        super().load(folder, config)

    def adjusted(self, config: Config) -> Self:
        model = copy.copy(self)
        model.config = override(config, dict(self.changes))
        return model

    def similar(self, batch: ClipBatch) -> Similar:
        if not self._top_k:
            return super().similar(batch)
        count = max(self._top_k, self.retrieved)  # kept for whoever needs more of them
        nearest = self.space.similar(batch.clips, count, exclude=batch.withheld)
        return [matches[: self._top_k] for matches in nearest]

    def captions(self, batch: ClipBatch, similar: Similar) -> list[str]:
        audio, datastore = self.inputs(batch), self.space.datastore
        support = self.space.text(batch.captions)
        return self.decode(audio, similar, support, datastore, batch.withheld)

    # both

    def decode(
        self,
        audio_embeds: torch.Tensor,
        similar: Similar,
        support: np.ndarray | None,
        datastore: CaptionDatastore | None,
        withheld: Sequence[str] = (),
    ) -> list[str]:
        """Caption B audio embeddings (sec. II): the one way from them to a caption.

        audio_embeds : (B, D) float32, unit rows      similar : of each prompt
        support : S, (N, D) unit rows; None where nothing is projected
        datastore, withheld : what "mbr" chooses by; else not read
        """
        embeddings, settings = audio_embeds, self.config.projection
        if settings.enabled:  # E' of eq. 4
            embeddings = project(
                audio_embeds,
                support,
                settings.temperature or self.clap.temperature,
                renormalise=settings.renormalise,
            )
        texts = [[match.caption for match in matches] for matches in similar]
        settings = self.config.generation
        beams = generate_beams(self.captioner, embeddings, texts, settings)
        if settings.choice == "first_beam":
            return [likeliest[0] for likeliest in beams]
        return self._choice_over(datastore).choose(audio_embeds, beams, withheld)

    def _choice_over(self, datastore: CaptionDatastore) -> Choice:
        if not self._choices or self._choices[0].captions is not datastore.captions:
            self._choices[:] = [Choice(datastore)]
        return self._choices[0]

    @property
    def _top_k(self) -> int:
        return self.config.retrieval.enabled * self.config.retrieval.top_k


def _find(path_or_hub_id: str | Path) -> Path:
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


def _changed(config: Config, options: dict[str, Any]) -> Config:
    for name, value in options.items():
        if name not in OPTIONS:
            raise TypeError(f"unknown option {name}; known: {', '.join(OPTIONS)}")
        if value is not None:
            section, key = OPTIONS[name]
            config = override(config, {section: {key: value}})
    return config
