"""What all experiments of a profile share: corpora, CLAP models, domains' captions.

Computed once and kept in the cache folder; an ablation takes from here and recomputes
nothing. Seeds of an experiment vary the captioner's training alone.
"""

from collections.abc import Mapping
from functools import cached_property

from drcap.clap import load_clap
from drcap.clap.stages import run_folder, trained_clap
from drcap.clap.train import CLAPRun, train_clap
from drcap.config import clap_profile, experiments_profile, override
from drcap.data.captions import Clip
from drcap.data.corpora import Corpora, corpora, kind_of
from drcap.data.overlap import captions_of
from drcap.experiments.grid import DOMAINS
from drcap.spaces import Space


class Materials:
    """The data and the CLAP models of a profile's grid, loaded when first asked for."""

    def __init__(self, profile: str, *, seed: int = 0, progress: bool = True):
        """Seed 0 is that of the CLAP models, whatever the experiments' seeds are."""
        self.profile = profile
        self.seed = seed
        self.progress = progress
        self.config = experiments_profile(profile)
        self._spaces: dict[str, Space] = {}

    @cached_property
    def corpora(self) -> Corpora:
        """AudioCaps, Clotho and WavCaps, or what stands in for them."""
        return corpora(self.profile, progress=self.progress)

    @property
    def names(self) -> Mapping[str, str]:
        """The corpus that is a domain: {"ac": ..., "cl": ...}."""
        return kind_of(self.profile).names

    @property
    def weak_name(self) -> str:
        """The corpus of weak captions."""
        return kind_of(self.profile).weak_name

    def clips(self, domain: str, subset: str) -> tuple[Clip, ...]:
        """Return a domain's recordings of the subset train, val or test."""
        return self.corpora.clips(domain, subset)

    def training_captions(self, domain: str) -> list[str]:
        """Return every caption of a domain's training clips, duplicates kept.

        Text-only training wants no recording, and some may be missing.
        """
        return captions_of(self.corpora.clips(domain, "train", audio=False))

    @cached_property
    def captions(self) -> list[str]:
        """What the datastore holds (sec. III-B): WavCaps' captions, less those of clips
        that overlap with the targets, and the captions of both training sets."""
        targets = [text for name in DOMAINS for text in self.training_captions(name)]
        return self.corpora.weak_captions + targets

    def space(self, system: str) -> Space:
        """Return the joint space of a system's CLAP model, by its key in SYSTEMS."""
        if system not in self._spaces:
            run = self.seen_clap() if system == "drcap_seen" else self.clap()
            clap = load_clap(run.model)
            self._spaces[system] = Space(clap, self.captions, progress=self.progress)
        return self._spaces[system]

    def clap(self) -> CLAPRun:
        """Return DRCap's CLAP model, which has heard no clip of the targets."""
        return trained_clap(self.profile, self.seed, progress=self.progress)

    def seen_clap(self) -> CLAPRun:
        """Return the same model trained on, on the targets' training pairs.

        A reference only, as LAION-CLAP is, which has heard AudioCaps and Clotho.
        """
        initial = self.clap()
        epochs = {"epochs": self.config.seen_epochs, "warmup_epochs": 1}
        config = override(
            clap_profile(self.profile), {"seed": self.seed, "training": epochs}
        )
        clips = [clip for name in DOMAINS for clip in self.clips(name, "train")]
        return train_clap(
            config,
            clips,
            run_folder(f"{initial.folder.name}-seen", config, clips),
            validation=self.clips("ac", "val"),
            initial=initial.model,
            progress=self.progress,
        )
