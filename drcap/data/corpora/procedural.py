"""Procedural soundscapes that stand in for AudioCaps, Clotho and WavCaps.

They lie in the layouts of the real datasets, whose readers read them. Their truth file
is for notebooks and tests alone.
"""

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from drcap.data.audiocaps import read_audiocaps
from drcap.data.captions import Clip
from drcap.data.clotho import read_clotho
from drcap.data.corpora.base import Corpora
from drcap.data.overlap import Filtered
from drcap.data.overlap_cache import cached_overlap
from drcap.data.wavcaps import read_wavcaps

READERS = {"ac": read_audiocaps, "cl": read_clotho}


class ProceduralCorpora(Corpora):
    """The three procedural corpora of a profile."""

    names: ClassVar[Mapping[str, str]] = {"ac": "scapes-ac", "cl": "scapes-cl"}
    weak_name: ClassVar[str] = "scapes-weak"

    def clips(
        self, domain: str, subset: str, *, audio: bool = True
    ) -> tuple[Clip, ...]:
        """Return a subset of a domain; each of its clips has a recording."""
        return READERS[domain](self.root / self.names[domain], subset).clips

    @cached_property
    def weak(self) -> tuple[Clip, ...]:
        """All clips of scapes-weak, copies of target clips included."""
        return read_wavcaps(self.root / self.weak_name).clips

    @cached_property
    def pretraining(self) -> Filtered:
        """The clips of scapes-weak that may be trained on, and what was removed."""
        # the published lists name real recordings, of which there are none here
        return cached_overlap(self.weak, self.targets, blacklist=False)

    def heard(self, clip: Clip) -> str:
        """Return the events of a clip's scene in words, with their seconds."""
        events = self.truth(clip)["scene"]["events"]
        return ", ".join(
            f"{event['name'].replace('_', ' ')} {event['start']:.0f}-"
            f"{event['start'] + event['seconds']:.0f} s"
            for event in events
        )

    def truth(self, clip: Clip) -> dict:
        """Return what truth.jsonl says of a clip; for notebooks and tests alone."""
        return self._truths[clip.path.resolve()]

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
        for corpus in (*self.names.values(), self.weak_name):
            folder = self.root.resolve() / corpus
            for line in (folder / "truth.jsonl").read_text().splitlines():
                record = json.loads(line)
                truths[(folder / record["file"]).resolve()] = record
        return truths
