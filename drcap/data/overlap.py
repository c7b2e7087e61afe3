"""The overlap filter (sec. III-A): no clip of a target dataset is trained on elsewhere.

WavCaps and Sound-VECaps hold clips of AudioCaps and Clotho. A clip is removed by its
YouTube or Freesound id, by the published lists of such clips, or because it sounds like
a protected clip; each removal has a reason. The caption datastore is made of the
captions of what is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from drcap import audio, cache
from drcap.assets import asset_path
from drcap.data import fingerprint
from drcap.data.clip import Clip
from drcap.data.identities import bare_name, freesound_id, youtube_id
from drcap.data.tables import filled, read_table

VERSION = 2  # raised whenever the filter decides differently about the same clips
REASONS = ("id", "blacklist", "fingerprint", "unreadable")
Reasons = dict[int, tuple[str, int | None]]  # row -> why, and the protected row


@dataclass(frozen=True)
class Removed:
    """A clip that was removed, why, and for which protected clip if it is known."""

    clip: Clip
    reason: str  # of REASONS
    protected: Clip | None = None


@dataclass(frozen=True)
class Filtered:
    """What the filter kept and removed, in the order of the clips."""

    kept: tuple[Clip, ...]
    removed: tuple[Removed, ...]


def remove_overlap(
    clips: Sequence[Clip],
    protected: Sequence[Clip],
    *,
    blacklist: bool = True,
    fingerprints: bool = True,
) -> Filtered:
    """Remove from `clips` what is a clip of `protected`, or a copy of one (sec. III-A).

    Ids are compared, of YouTube and of Freesound, written in any of their ways.

    blacklist : remove the clips on the published lists
    fingerprints : compare the audio of what remains, where it is here; a recording that
        cannot be read is removed, for nobody can tell what is in it

    The outcome is kept in the cache folder under the identity of every clip and
    recording: other clips, or another recording of a clip, are filtered anew.
    """

    def decide() -> list[tuple[int, tuple[str, int | None]]]:
        removed = _by_id(clips, protected)
        if blacklist:
            listed = blacklists()
            on_list = [row for row, c in enumerate(clips) if _identities(c) & listed]
            removed = dict.fromkeys(on_list, ("blacklist", None)) | removed
        if fingerprints:
            rest = {row: clip for row, clip in enumerate(clips) if row not in removed}
            removed |= _by_sound(rest, dict(enumerate(protected)))
        return sorted(removed.items())

    sides = [[_identity(clip) for clip in side] for side in (clips, protected)]
    key = [VERSION, fingerprint.VERSION, blacklist, fingerprints, sides]
    removed = {
        row: Removed(clips[row], reason, None if other is None else protected[other])
        for row, (reason, other) in cache.keep("overlap", key, decide)
    }
    kept = tuple(clip for row, clip in enumerate(clips) if row not in removed)
    return Filtered(kept, tuple(removed.values()))


def removed_table(filtered: Filtered) -> pd.DataFrame:
    """Count the clips of each source: one row a source, then all; one column a reason.

    A source is `<dataset> <subset>`. Columns: clips, those of REASONS, kept.
    """
    fates = [(clip, "kept") for clip in filtered.kept]
    fates += [(entry.clip, entry.reason) for entry in filtered.removed]
    sources = [f"{clip.dataset} {clip.subset}" for clip, _ in fates]
    table = pd.crosstab(pd.Series(sources, dtype=str), [fate for _, fate in fates])
    table = table.reindex(columns=[*REASONS, "kept"], fill_value=0)
    table.insert(0, "clips", table.sum(axis=1))
    table.loc["all"] = table.sum()
    return table.rename_axis(index="source", columns=None)


def blacklists() -> set[tuple[str, str]]:
    """Return the identities on aac-datasets' lists of AudioCaps' and Clotho's clips.

    They are complete: WavCaps' own list leaves 18 test clips in. Raises AssetError
    where the lists are not fetched.
    """
    identities = set()
    for name, site, identify in (
        ("audiocaps", "youtube", youtube_id),
        ("clotho", "freesound", freesound_id),
    ):
        path = asset_path("overlap-lists") / f"{name}.csv"
        rows = (filled(path, line, row, "id") for line, row in read_table(path))
        identities |= {(site, identify(row)) for row in rows}
    return identities - {("freesound", None)}  # one entry is "Not found"


def _identities(clip: Clip) -> set[tuple[str, str]]:
    """Return the outer ids of a clip, each with the site that gave it."""
    ids = {"youtube": youtube_id(clip.youtube_id or "")}
    ids["freesound"] = bare_name(clip.freesound_id or "")
    return {(site, name) for site, name in ids.items() if name}


def _identity(clip: Clip) -> list:
    names = [clip.dataset, clip.clip_id, clip.youtube_id, clip.freesound_id]
    return names if clip.path is None else [*names, *audio.state(clip.path)]


def _by_id(clips: Sequence[Clip], protected: Sequence[Clip]) -> Reasons:
    owner: dict[tuple[str, str], int] = {}
    for row, clip in enumerate(protected):
        for identity in _identities(clip):
            owner.setdefault(identity, row)
    return {
        row: ("id", owner[min(shared)])
        for row, clip in enumerate(clips)
        if (shared := _identities(clip) & owner.keys())
    }


def _by_sound(clips: dict[int, Clip], protected: dict[int, Clip]) -> Reasons:
    """Return which clips, by row, cannot be read or sound like a protected clip."""

    def read(side: dict[int, Clip], skip: int) -> dict[int, np.ndarray | None]:
        here = {row: clip.path for row, clip in side.items() if clip.path is not None}
        peaks = fingerprint.fingerprints_of([*here.values()], skip)
        return dict(zip(here, peaks, strict=True))

    ours, starts = read(clips, 0), [read(protected, skip) for skip in fingerprint.SKIPS]
    originals = [row for row, peaks in starts[0].items() if peaks is not None]
    theirs = [[peaks[row] for peaks in starts] for row in originals]
    readable = {row: peaks for row, peaks in ours.items() if peaks is not None}
    copies = fingerprint.find_copies([*readable.values()], theirs)
    removed: Reasons = {row: ("unreadable", None) for row in ours.keys() - readable}
    found = zip(readable, copies, strict=True)
    return removed | {
        row: ("fingerprint", originals[copy]) for row, copy in found if copy is not None
    }
