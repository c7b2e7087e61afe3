"""What all experiments of a profile share: corpora, CLAP models, domains' captions.

Computed once and kept in the cache folder; an ablation takes from here and recomputes
nothing. Seeds of an experiment vary the captioner's training alone.
"""

from collections.abc import Mapping
from functools import cached_property

from drcap import cache
from drcap.clap.train import CLAPRun, run_key, train_clap, trained_clap
from drcap.config import clap_profile, experiments_profile, override
from drcap.data.clip import Clip, captions_of
from drcap.data.corpora import Corpora, corpora, kind_of
from drcap.experiments.grid import DOMAINS, SEEN
from drcap.joint_space import JointSpace
from drcap.load import load_clap


class Materials:
    """The data and the CLAP models of a profile's grid; `seed` is the models'."""

    def __init__(self, profile: str, *, seed: int = 0):
        self.profile = profile
        self.seed = seed
        self.config = experiments_profile(profile)
        self._spaces: dict[str, JointSpace] = {}

    @cached_property
    def corpora(self) -> Corpora:
        """AudioCaps, Clotho and WavCaps, or what stands in for them."""
        return corpora(self.profile)

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
        """Return every caption of a domain's training clips, recording or not."""
        return captions_of(self.corpora.clips(domain, "train", audio=False))

    @cached_property
    def captions(self) -> list[str]:
        """What the datastore holds (sec. III-B): WavCaps' captions, less those of clips
        that overlap with the targets, and the captions of both training sets."""
        targets = [text for name in DOMAINS for text in self.training_captions(name)]
        return self.corpora.weak_captions + targets

    def space(self, system: str) -> JointSpace:
        """Return the joint space of a CLAP model, by its name in `Experiment.clap`."""
        if system not in self._spaces:
            trained = self.seen_clap() if system == SEEN else self.clap()
            authors = self.config.captioner.captioner.style == "authors"
            clap = load_clap(trained.model)
            space = JointSpace(clap, self.captions, beginning=authors)
            self._spaces[system] = space
        return self._spaces[system]

    def clap(self) -> CLAPRun:
        """Return DRCap's CLAP model, which has heard no clip of the targets."""
        return trained_clap(self.profile, self.seed)

    def seen_clap(self) -> CLAPRun:
        """Return the same model trained on, on the targets' training pairs.

        A reference only, as LAION-CLAP is, which has heard AudioCaps and Clotho.
        """
        initial = self.clap()
        epochs = {"epochs": self.config.seen_epochs, "warmup_epochs": 1}
        changes = {"seed": self.seed, "training": epochs}
        config = override(clap_profile(self.profile), changes)
        clips = [clip for name in DOMAINS for clip in self.clips(name, "train")]
        key = run_key(config, clips, initial.model)
        folder = cache.run_folder(f"{initial.folder.name}-seen", key)
        others = {"validation": self.clips("ac", "val"), "initial": initial.model}
        return train_clap(config, clips, folder, **others)
