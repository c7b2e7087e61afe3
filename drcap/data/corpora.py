"""The corpora of a profile: two domains, and what CLAP may be trained on (sec. III-A).

Procedural ones are soundscapes in the layouts of the real datasets, built where they
are missing. Prepared ones are the real datasets, as `drcap data prepare` leaves them.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd

from drcap import cache, paths
from drcap.config import DatasetsConfig, SoundscapesConfig, corpora_profile
from drcap.data.audiocaps import read_audiocaps
from drcap.data.clip import Clip, captions_of, read_prepared
from drcap.data.clotho import SUBSETS as CLOTHO_SUBSETS
from drcap.data.clotho import read_clotho
from drcap.data.overlap import Filtered, remove_overlap
from drcap.data.wavcaps import SOURCES, read_wavcaps
from drcap.errors import DatasetAbsentError, DatasetError

SUBSETS = ("train", "val", "test")
Clips = tuple[Clip, ...]


@dataclass(frozen=True)
class Corpora:
    """Two domains, ac and cl, and weakly captioned clips to train CLAP on.

    Both kinds have `clips(domain, subset, audio=)`; `weak`, all clips that CLAP may be
    trained on, copies of target clips included; `pretraining`, these without the
    overlap; `copies`, clip_id -> original of the known copies; `heard(clip)`, what
    sounds in a clip, in words.
    """

    config: SoundscapesConfig | DatasetsConfig
    root: Path  # holds a folder a corpus

    names: ClassVar[Mapping[str, str]]  # domain -> the corpus that is it
    weak_name: ClassVar[str]

    @cached_property
    def targets(self) -> Clips:
        """All clips of the domains, of every subset: kept out of all pretraining."""
        return tuple(
            clip
            for domain in self.names
            for subset in SUBSETS
            for clip in self.clips(domain, subset, audio=False)
        )

    @property
    def pairs(self) -> Clips:
        """What CLAP is trained on: of the clips that were kept, those with audio."""
        return tuple(clip for clip in self.pretraining.kept if clip.path is not None)

    @property
    def weak_captions(self) -> list[str]:
        """The datastore's captions of WavCaps (sec. III-B), the targets' left out."""
        kept = self.pretraining.kept
        return captions_of(clip for clip in kept if clip.dataset == "wavcaps")

    def sizes(self) -> pd.DataFrame:
        """Count the clips, captions and recordings of each corpus and subset."""
        subsets = {
            (name, subset): self.clips(domain, subset, audio=False)
            for domain, name in self.names.items()
            for subset in SUBSETS
        }
        subsets[self.weak_name, "train"] = self.weak
        rows = [
            {
                "corpus": corpus,
                "subset": subset,
                "clips": len(clips),
                "captions": len(captions_of(clips)),
                "recordings": sum(clip.path is not None for clip in clips),
            }
            for (corpus, subset), clips in subsets.items()
        ]
        return pd.DataFrame(rows)


class ProceduralCorpora(Corpora):
    """Procedural soundscapes that stand in for AudioCaps, Clotho and WavCaps.

    Their truth file is for notebooks and tests alone.
    """

    names: ClassVar[Mapping[str, str]] = {"ac": "scapes-ac", "cl": "scapes-cl"}
    weak_name: ClassVar[str] = "scapes-weak"

    def clips(self, domain: str, subset: str, *, audio: bool = True) -> Clips:
        """Return the subset train, val or test; each clip has a recording."""
        read = {"ac": read_audiocaps, "cl": read_clotho}[domain]
        return read(self.root / self.names[domain], subset).clips

    @cached_property
    def weak(self) -> Clips:
        root = self.root / self.weak_name
        here = (source for source in SOURCES if (root / "json_files" / source).is_dir())
        return tuple(
            clip for source in here for clip in read_wavcaps(root, source).clips
        )

    @cached_property
    def pretraining(self) -> Filtered:
        # the published lists name real recordings, of which there are none here
        return remove_overlap(self.weak, self.targets, blacklist=False)

    def heard(self, clip: Clip) -> str:
        """Return the events of a clip's scene in words, with their seconds."""
        return ", ".join(
            f"{event['name'].replace('_', ' ')} {event['start']:.0f}-"
            f"{event['start'] + event['seconds']:.0f} s"
            for event in self.truth(clip)["scene"]["events"]
        )

    def truth(self, clip: Clip) -> dict:
        """Return a clip's entry in truth.jsonl; for notebooks and tests alone."""
        return self._truths[clip.path.resolve()]

    @cached_property
    def copies(self) -> dict[str, Clip]:
        root = self.root.resolve()
        originals = {}
        for clip in self.targets:
            corpus = clip.path.resolve().relative_to(root).parts[0]
            originals[f"{corpus}/{self.truth(clip)['clip_id']}"] = clip
        copied = {clip.clip_id: self.truth(clip)["copy_of"] for clip in self.weak}
        return {clip_id: originals[name] for clip_id, name in copied.items() if name}

    @cached_property
    def _truths(self) -> dict[Path, dict]:
        truths = {}
        for corpus in (*self.names.values(), self.weak_name):
            folder = self.root.resolve() / corpus
            for line in (folder / "truth.jsonl").read_text().splitlines():
                record = json.loads(line)
                truths[(folder / record["file"]).resolve()] = record
        return truths


class PreparedCorpora(Corpora):
    """AudioCaps, Clotho, WavCaps and Sound-VECaps, as `drcap data prepare` leaves them.

    A clip whose recording is missing still has captions, which text-only training,
    supports and the datastore read; to be encoded or scored, it must have audio.
    """

    names: ClassVar[Mapping[str, str]] = {"ac": "AudioCaps", "cl": "Clotho"}
    weak_name: ClassVar[str] = "WavCaps and the like"

    def clips(self, domain: str, subset: str, *, audio: bool = True) -> Clips:
        """Return the subset train, val or test, with `audio` only what has a recording.

        Raises DatasetAbsentError if it is not prepared, and DatasetError if audio is
        wanted and none of its recordings is here.
        """
        published = CLOTHO_SUBSETS[subset] if domain == "cl" else subset
        folder = {"ac": "audiocaps", "cl": "clotho"}[domain]
        listed = self._subset(folder, published)
        clips = tuple(clip for clip in listed if clip.path is not None or not audio)
        if not clips:
            raise DatasetError(
                f"{self.root / folder}: no clip of {published} has a recording; "
                "prepare it again with its audio"
            )
        return clips

    @cached_property
    def weak(self) -> Clips:
        clips = [
            clip
            for dataset in ("wavcaps", "soundvecaps")
            for subset in getattr(self.config, dataset)
            for clip in self._subset(dataset, subset)
        ]
        count = self.config.weak_clips
        if count is None or count >= len(clips):
            return tuple(clips)
        rows = np.random.default_rng(self.config.seed).permutation(len(clips))[:count]
        return tuple(clips[row] for row in np.sort(rows))

    @cached_property
    def pretraining(self) -> Filtered:
        # two million recordings are not compared by their sound, too
        return remove_overlap(self.weak, self.targets, fingerprints=False)

    @cached_property
    def copies(self) -> dict[str, Clip]:
        removed = self.pretraining.removed
        return {r.clip.clip_id: r.protected for r in removed if r.protected is not None}

    def heard(self, clip: Clip) -> str:
        """Return a clip's keywords: nobody wrote down what else sounds in it."""
        return ", ".join(clip.keywords) or "not stated"

    def _subset(self, dataset: str, subset: str) -> Clips:
        path = self.root / dataset / f"{subset}.jsonl"
        if not path.is_file():
            raise DatasetAbsentError(
                f"{path}: not prepared; run `drcap data prepare {dataset} --root DIR` "
                f"(`drcap data sources {dataset}` says what to download)"
            )
        return read_prepared(path)


def corpora(profile: str, root: Path | None = None) -> Corpora:
    """Return the corpora of a profile; procedural ones are built if they are not there.

    root : the folder that holds them; None: where drcap puts them
    """
    config, kind = corpora_profile(profile), kind_of(profile)
    if root is None and kind is ProceduralCorpora:
        root = _built(config)
    return kind(config, root or paths.datasets())


def kind_of(profile: str) -> type[Corpora]:
    """Return the class of a profile's corpora, which names them before any is read."""
    procedural = isinstance(corpora_profile(profile), SoundscapesConfig)
    return ProceduralCorpora if procedural else PreparedCorpora


def corpora_folder(config: SoundscapesConfig) -> Path:
    """Return the folder of a configuration's soundscapes in the cache, built or not."""
    from soundscapes.corpora import VERSION

    name = cache.digest([VERSION, asdict(config)])[:8]
    return paths.home() / "corpora" / f"soundscapes-{name}"


def _built(config: SoundscapesConfig) -> Path:
    from soundscapes.corpora import CorporaError, build

    try:
        return build(config, corpora_folder(config))
    except CorporaError as error:
        raise DatasetError(str(error)) from None
