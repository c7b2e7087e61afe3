"""What CLAP is trained on (sec. III-A): the corpora of a profile, overlap filtered out.

The procedural corpora stand in for WavCaps, AudioCaps and Clotho, and the readers of
the real datasets read them. Their truth file is for notebooks and tests alone.
"""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from drcap.config import SoundscapesConfig, soundscapes_profile
from drcap.data.audiocaps import read_audiocaps
from drcap.data.captions import Clip
from drcap.data.clotho import read_clotho
from drcap.data.overlap import Filtered
from drcap.data.overlap_cache import cached_overlap
from drcap.data.soundscapes.corpora import build
from drcap.data.wavcaps import read_wavcaps

TARGETS = {"scapes-ac": read_audiocaps, "scapes-cl": read_clotho}
SUBSETS = ("train", "val", "test")


@dataclass(frozen=True)
class Corpora:
    """The three procedural corpora of a profile."""

    config: SoundscapesConfig
    root: Path  # holds scapes-ac, scapes-cl and scapes-weak

    def clips(self, corpus: str, subset: str) -> tuple[Clip, ...]:
        """Return a subset of scapes-ac or scapes-cl."""
        return TARGETS[corpus](self.root / corpus, subset).clips

    @cached_property
    def weak(self) -> tuple[Clip, ...]:
        """All clips of scapes-weak, copies of target clips included."""
        return read_wavcaps(self.root / "scapes-weak").clips

    @cached_property
    def targets(self) -> tuple[Clip, ...]:
        """All clips that no pretraining may hear, of every subset."""
        return tuple(
            clip
            for corpus in TARGETS
            for subset in SUBSETS
            for clip in self.clips(corpus, subset)
        )

    @cached_property
    def pretraining(self) -> Filtered:
        """The clips of scapes-weak that may be trained on, and what was removed."""
        # the published lists name real recordings, of which there are none here
        return cached_overlap(self.weak, self.targets, blacklist=False)

    def truth(self, clip: Clip) -> dict:
        """Return what truth.jsonl says of a clip; for notebooks and tests alone."""
        return self._truths[clip.path.resolve()]

    def heard(self, clip: Clip) -> str:
        """Return the events of a clip's scene in words, with their seconds."""
        events = self.truth(clip)["scene"]["events"]
        return ", ".join(
            f"{event['name'].replace('_', ' ')} {event['start']:.0f}-"
            f"{event['start'] + event['seconds']:.0f} s"
            for event in events
        )

    @cached_property
    def copies(self) -> dict[str, Clip]:
        """Return clip_id -> original, of the clips of scapes-weak that are copies."""
        names = {self._name(clip): clip for clip in self.targets}
        copied = {clip.clip_id: self.truth(clip)["copy_of"] for clip in self.weak}
        return {clip_id: names[name] for clip_id, name in copied.items() if name}

    def _name(self, clip: Clip) -> str:
        corpus = clip.path.resolve().relative_to(self.root.resolve()).parts[0]
        return f"{corpus}/{self.truth(clip)['clip_id']}"

    @cached_property
    def _truths(self) -> dict[Path, dict]:
        truths = {}
        for corpus in (*TARGETS, "scapes-weak"):
            folder = self.root.resolve() / corpus
            for line in (folder / "truth.jsonl").read_text().splitlines():
                record = json.loads(line)
                truths[(folder / record["file"]).resolve()] = record
        return truths

    def sizes(self) -> pd.DataFrame:
        """Count the clips and captions of each corpus and subset."""
        subsets = {
            (corpus, subset): self.clips(corpus, subset)
            for corpus in TARGETS
            for subset in SUBSETS
        }
        subsets["scapes-weak", "train"] = self.weak
        rows = [
            {
                "corpus": corpus,
                "subset": subset,
                "clips": len(clips),
                "captions": sum(len(clip.captions) for clip in clips),
            }
            for (corpus, subset), clips in subsets.items()
        ]
        return pd.DataFrame(rows)


def corpora(profile: str, *, progress: bool = True) -> Corpora:
    """Return the corpora of a profile, built if they are not in the cache."""
    config = soundscapes_profile(profile)
    return Corpora(config, build(config, progress=progress))
