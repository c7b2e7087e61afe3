"""A dataset as downloaded -> a prepared folder: checked, counted, gaps listed.

In: the folder of a dataset in its official layout, or in that of aac-datasets. Out: one
`<subset>.jsonl` each (see clip.py), `<subset>.missing.txt` and
`<subset>.unreadable.txt`, one line a clip, and report.json. A clip amiss never stops
the others; a malformed annotation file does, with its line and column.
"""

import dataclasses
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tqdm import tqdm

from drcap import audio, cache
from drcap.atomic import write_json, write_text
from drcap.data.audiocaps import read_audiocaps
from drcap.data.clip import Clip, Subset, captions_of, write_prepared
from drcap.data.clotho import read_clotho
from drcap.data.sources import Source, source_of, subset_names
from drcap.data.wavcaps import read_soundvecaps, read_wavcaps
from drcap.errors import AudioError, DatasetAbsentError, DatasetError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """The counts of a subset."""

    subset: str
    clips: int
    captions: int
    recordings: int | None  # None: not looked for
    missing: int | None
    unreadable: int | None  # None: not decoded
    repeated: int  # clips listed a second time, left out
    published: str  # the published copy of this size, or what was expected


@dataclass(frozen=True)
class Preparation:
    """What a dataset holds, and where it was written."""

    folder: Path
    subsets: tuple[Prepared, ...]
    absent: tuple[str, ...]  # subsets without an annotation file
    problems: tuple[str, ...]  # a line for each recording that is unreadable


def prepare(
    name: str,
    root: Path | str,
    output: Path | str,
    *,
    subsets: Sequence[str] = (),
    audio: bool = True,
    check: bool = True,
    version: str | None = None,
) -> Preparation:
    """Check a dataset under `root` and write its prepared folder.

    subsets : none: all that are here
    audio : if False, captions alone: no recording is looked for
    check : decode every recording to its end
    version : of AudioCaps, v1 or v2, where both are there

    A recording is decoded once until it changes: a killed run resumes.
    Raises DatasetAbsentError if none of its annotation files is here, and DatasetError
    if one is malformed, or audio is wanted and there is no recording at all.
    """
    source, output = source_of(name), Path(output)
    inside = Path(root, source.folder or "")  # as aac-datasets has it
    root = inside if inside.is_dir() else Path(root)
    contents, absent, reasons = _read_all(source, root, subsets, audio, version)
    if audio and not any(subset.audio for subset in contents.values()):
        raise DatasetError(f"{reasons[0]}; or use the captions alone, --captions-only")
    reports, problems = [], []
    for subset, content in contents.items():
        counts, errors = _write(output, subset, content, audio, check)
        published = source.verdict(subset, counts[source.counted])
        reports.append(Prepared(subset, **counts, published=published))
        problems += errors
    if audio and not subsets:  # else others' recordings are not known
        _note_unmatched(contents.values(), output)
    result = Preparation(output, tuple(reports), tuple(absent), tuple(problems))
    report = {"dataset": name, "licence": source.licence} | dataclasses.asdict(result)
    report |= {"root": str(root.absolute()), "folder": str(output.absolute())}
    write_json(output / "report.json", report)
    return result


def _read_all(
    source: Source,
    root: Path,
    names: Sequence[str],
    audio: bool,
    version: str | None,
) -> tuple[dict[str, Subset], list[str], list[str]]:
    """Return the subsets that are here, those that are not, and what audio lacks."""
    read = {
        "audiocaps": partial(read_audiocaps, root, version=version),
        "clotho": partial(read_clotho, root),
        "wavcaps": partial(read_wavcaps, root),
        "soundvecaps": partial(read_soundvecaps, root),
    }[source.name]
    subsets, absent, reasons = {}, {}, []
    for subset in subset_names(source.name, names):
        try:
            subsets[subset] = read(subset, audio=audio)
        except DatasetAbsentError as error:
            if names:
                raise
            absent[subset] = error
        except (DatasetError, AudioError) as error:  # no recording, or a malformed row
            if not audio:
                raise
            subsets[subset] = read(subset, audio=False)
            reasons.append(str(error))
    if not subsets:
        raise next(iter(absent.values()))
    return subsets, list(absent), reasons


def _write(
    output: Path, subset: str, content: Subset, audio: bool, check: bool
) -> tuple[dict[str, int | None], list[str]]:
    """Write a subset's files; return its counts, and what is amiss with recordings."""
    distinct: dict[str, Clip] = {}
    for clip in content.listed:
        distinct.setdefault(clip.clip_id, clip)
    clips = list(distinct.values())
    missing = [clip.clip_id for clip in clips if clip.path is None]
    check, errors = audio and check, {}
    if check:
        bar = tqdm(clips, "decoding", unit="clip", delay=2)
        clips = [_checked(clip, errors) for clip in bar]
    write_prepared(output / f"{subset}.jsonl", clips)
    if audio:
        lines = [f"{clip_id}\t{error}" for clip_id, error in errors.items()]
        _write_lines(output / f"{subset}.missing.txt", missing)
        _write_lines(output / f"{subset}.unreadable.txt", lines)
    counts = {
        "clips": len(clips),
        "captions": len(captions_of(clips)),
        "recordings": len(clips) - len(missing) if audio else None,
        "missing": len(missing) if audio else None,
        "unreadable": len(errors) if check else None,
        "repeated": len(content.listed) - len(clips),
    }
    return counts, list(errors.values())


def _checked(clip: Clip, errors: dict[str, str]) -> Clip:
    """Return a clip with its decoded length, or note an error and drop its path."""
    if clip.path is None:
        return clip
    try:
        key = audio.state(clip.path)
        seconds = cache.keep("recordings", key, lambda: audio.measure(clip.path))
        return dataclasses.replace(clip, duration=seconds)
    except (AudioError, OSError) as error:
        errors[clip.clip_id] = str(error).encode(errors="backslashreplace").decode()
        return dataclasses.replace(clip, path=None)


def _note_unmatched(subsets: Iterable[Subset], output: Path) -> None:
    """List the recordings that no row of any subset names, and say how many."""
    paths = {path for subset in subsets for path in subset.unmatched}
    paths -= {clip.path for subset in subsets for clip in subset.listed}
    _write_lines(output / "unmatched.txt", sorted(map(str, paths)))
    if paths:
        _log.warning(
            "%d recordings match no row: %s", len(paths), output / "unmatched.txt"
        )


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))
