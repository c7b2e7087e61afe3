"""What the overlap filter decided, kept in the cache folder.

Comparing the sound of thousands of clips takes half a minute, and every step of the run
graph needs the outcome. It is kept under the identity of every clip and recording, so
that other clips, or another recording in a clip's place, are filtered anew.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from drcap import paths
from drcap.data import fingerprint_cache
from drcap.data.captions import Clip
from drcap.data.overlap import Filtered, Removed, remove_overlap
from drcap.files import write_json

VERSION = 1  # raised whenever the filter decides differently about the same clips


def cached_overlap(
    clips: Sequence[Clip], protected: Sequence[Clip], **checks: bool
) -> Filtered:
    """Return `remove_overlap` of the same arguments, filtered at most once."""
    path = paths.home() / "overlap" / f"{_digest(clips, protected, checks)}.json"
    if path.exists():
        return _restored(clips, protected, json.loads(path.read_text("utf-8")))
    filtered = remove_overlap(clips, protected, **checks)
    write_json(path, _decisions(clips, protected, filtered), indent=None)
    return filtered


def _decisions(
    clips: Sequence[Clip], protected: Sequence[Clip], filtered: Filtered
) -> dict:
    """Return the outcome in rows of the two collections, ready for JSON."""
    row_of = {id(clip): row for row, clip in enumerate(clips)}
    protected_row = {id(clip): row for row, clip in enumerate(protected)}
    removed = [
        (row_of[id(each.clip)], each.reason, protected_row.get(id(each.protected)))
        for each in filtered.removed
    ]
    unguarded = [protected_row[id(clip)] for clip in filtered.unguarded]
    return {"removed": removed, "unguarded": unguarded}


def _restored(
    clips: Sequence[Clip], protected: Sequence[Clip], decisions: dict
) -> Filtered:
    removed = {
        row: Removed(clips[row], reason, None if other is None else protected[other])
        for row, reason, other in decisions["removed"]
    }
    return Filtered(
        kept=tuple(clip for row, clip in enumerate(clips) if row not in removed),
        removed=tuple(removed.values()),
        unguarded=tuple(protected[row] for row in decisions["unguarded"]),
    )


def _digest(
    clips: Sequence[Clip], protected: Sequence[Clip], checks: dict[str, bool]
) -> str:
    versions = [VERSION, fingerprint_cache.VERSION]
    identities = [[_identity(clip) for clip in side] for side in (clips, protected)]
    content = json.dumps([versions, sorted(checks.items()), identities])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _identity(clip: Clip) -> list:
    names = [clip.dataset, clip.clip_id, clip.youtube_id, clip.freesound_id]
    return [*names, *_file(clip.path)]


def _file(path: Path | None) -> list:
    if path is None or not path.exists():
        return []
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]
