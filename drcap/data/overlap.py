"""The overlap filter (sec. III-A): no clip of a target dataset is trained on elsewhere.

WavCaps and Sound-VECaps hold clips of AudioCaps and Clotho. A clip is removed by its
YouTube or Freesound id, by the published lists of such clips, or because it sounds like
a protected clip. Each removal says why; what nothing could check is listed too. The
caption datastore is made of the captions of what is kept.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from drcap.assets import asset_path
from drcap.data.captions import Clip
from drcap.data.fingerprint import SKIPS, find_copies
from drcap.data.fingerprint_cache import fingerprints_of
from drcap.data.identities import bare_name, freesound_id, youtube_id
from drcap.data.tables import filled, read_table
from drcap.errors import AudioError

REASONS = ("id", "blacklist", "fingerprint", "unreadable")


@dataclass(frozen=True)
class Blacklists:
    """Ids of the clips of AudioCaps and Clotho that are in WavCaps."""

    youtube: frozenset[str]
    freesound: frozenset[str]


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
    unguarded: tuple[Clip, ...]  # protected clips whose copies nothing could find


def blacklists() -> Blacklists:
    """Read aac-datasets' lists, the complete ones; AssetError if they are not here.

    WavCaps' own list for all of AudioCaps and Clotho leaves 18 test clips in.
    """
    folder = asset_path("overlap-lists")
    return Blacklists(
        youtube=frozenset(map(youtube_id, _listed(folder / "audiocaps.csv"))),
        # one entry is "Not found", which is nobody's id
        freesound=frozenset(map(freesound_id, _listed(folder / "clotho.csv"))) - {None},
    )


def remove_overlap(
    clips: Sequence[Clip],
    protected: Sequence[Clip],
    *,
    ids: bool = True,
    blacklist: bool = True,
    fingerprints: bool = True,
    progress: bool = True,
) -> Filtered:
    """Remove from `clips` what is a clip of `protected`, or a copy of one.

    ids : compare YouTube ids, and Freesound ids, written in any of their ways
    blacklist : remove the clips on the published lists
    fingerprints : compare the audio of what remains, where it is here; a recording that
        cannot be read is removed, for nobody can tell what is in it
    """
    reasons: dict[int, Removed] = {}
    if ids:
        reasons |= _by_id(clips, protected)
    if blacklist:
        reasons = _by_blacklist(clips) | reasons
    heard: set[int] = set()
    if fingerprints:
        rest = [row for row in range(len(clips)) if row not in reasons]
        copies, heard = _by_sound(clips, rest, protected, progress)
        reasons |= copies
    return Filtered(
        kept=tuple(clip for row, clip in enumerate(clips) if row not in reasons),
        removed=tuple(reasons[row] for row in sorted(reasons)),
        unguarded=tuple(
            clip
            for row, clip in enumerate(protected)
            if row not in heard and not (ids and _identities(clip))
        ),
    )


def removed_table(filtered: Filtered) -> pd.DataFrame:
    """Count the clips of each source: one row a source, then all; one column a reason.

    A source is `<dataset> <subset>`. Columns: clips, those of REASONS, kept.
    """
    sources: dict[str, dict[str, int]] = {}

    def count(clip: Clip, column: str) -> None:
        source = f"{clip.dataset} {clip.subset}"
        row = sources.setdefault(source, dict.fromkeys(("clips", *REASONS, "kept"), 0))
        row["clips"] += 1
        row[column] += 1

    for clip in filtered.kept:
        count(clip, "kept")
    for each in filtered.removed:
        count(each.clip, each.reason)
    columns = ["clips", *REASONS, "kept"]
    table = pd.DataFrame.from_dict(sources, "index", int, columns).sort_index()
    table.loc["all"] = table.sum()
    return table.rename_axis("source")


def captions_of(clips: Iterable[Clip]) -> list[str]:
    """Return all captions of the clips, in order: what a datastore is made of."""
    return [caption for clip in clips for caption in clip.captions]


@cache
def _listed(csv_path: Path) -> tuple[str, ...]:
    rows = read_table(csv_path)
    return tuple(filled(csv_path, line, row, "id") for line, row in rows)


def _identities(clip: Clip) -> set[tuple[str, str]]:
    """Return the outer ids of a clip, each with whose it is."""
    found = set()
    if clip.youtube_id:
        found.add(("youtube", youtube_id(clip.youtube_id)))
    if clip.freesound_id:
        found.add(("freesound", bare_name(clip.freesound_id)))
    return found


def _by_id(clips: Sequence[Clip], protected: Sequence[Clip]) -> dict[int, Removed]:
    owner: dict[tuple[str, str], Clip] = {}
    for clip in protected:
        for each in _identities(clip):
            owner.setdefault(each, clip)
    return {
        row: Removed(clip, "id", owner[min(shared)])
        for row, clip in enumerate(clips)
        if (shared := _identities(clip) & owner.keys())
    }


def _by_blacklist(clips: Sequence[Clip]) -> dict[int, Removed]:
    lists = blacklists()
    listed = {("youtube", each) for each in lists.youtube}
    listed |= {("freesound", each) for each in lists.freesound}
    return {
        row: Removed(clip, "blacklist")
        for row, clip in enumerate(clips)
        if _identities(clip) & listed
    }


def _by_sound(
    clips: Sequence[Clip],
    rows: Sequence[int],
    protected: Sequence[Clip],
    progress: bool,
) -> tuple[dict[int, Removed], set[int]]:
    """Return what sounds like a protected clip, and which of these could be heard."""
    ours, unreadable = _heard(clips, rows, 0, progress)
    everyone = range(len(protected))
    starts = [_heard(protected, everyone, skip, progress)[0] for skip in SKIPS]
    theirs = {row: [each[row] for each in starts if row in each] for row in starts[0]}
    copies = find_copies(list(ours.values()), list(theirs.values()), progress)
    removed = {row: Removed(clips[row], "unreadable") for row in unreadable}
    originals = [protected[row] for row in theirs]
    for row, copy in zip(ours, copies, strict=True):
        if copy is not None:
            removed[row] = Removed(clips[row], "fingerprint", originals[copy])
    return removed, set(theirs)


def _heard(
    clips: Sequence[Clip], rows: Iterable[int], skip: int, progress: bool
) -> tuple[dict[int, np.ndarray], list[int]]:
    """Return row -> fingerprint of what is here and not silent; the unreadable rows."""
    here = [row for row in rows if clips[row].path is not None]
    found = fingerprints_of([clips[row].path for row in here], skip, progress)
    peaks = dict(zip(here, found, strict=True))
    unreadable = [row for row in here if isinstance(peaks[row], AudioError)]
    heard = {row: peaks[row] for row in here if not isinstance(peaks[row], AudioError)}
    return {row: each for row, each in heard.items() if len(each)}, unreadable
