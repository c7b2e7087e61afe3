"""A dataset as downloaded -> a prepared folder: checked, counted, gaps listed.

In: the folder of a dataset in its official layout, or in that of aac-datasets. Out: one
`<subset>.jsonl` each (see prepared.py), `<subset>.missing.txt` and
`<subset>.unreadable.txt`, one line a clip, and report.json. A clip amiss never stops
the others; a malformed annotation file does, with its line and column.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drcap.data.audiocaps import read_audiocaps
from drcap.data.captions import Clip
from drcap.data.clotho import SUBSETS as CLOTHO_SUBSETS
from drcap.data.clotho import read_clotho
from drcap.data.prepared import write_prepared
from drcap.data.recording_checks import Check, check_recordings
from drcap.data.soundvecaps import read_soundvecaps
from drcap.data.sources import Source, source_of
from drcap.data.split_zip import extract_recordings
from drcap.data.wavcaps import read_wavcaps
from drcap.errors import AudioError, DatasetAbsentError, DatasetError
from drcap.files import write_json, write_text

CHECKED = "checked.jsonl"  # what lets a killed run go on


@dataclass(frozen=True)
class Options:
    """How a dataset is prepared."""

    subsets: tuple[str, ...] = ()  # none: all that are here
    audio: bool = True  # False: captions alone, no recording is looked for
    check: bool = True  # decode every recording to its end
    version: str | None = None  # of AudioCaps: v1 or v2
    id_column: str | None = None  # of Sound-VECaps
    caption_column: str | None = None  # of Sound-VECaps
    progress: bool = True


@dataclass(frozen=True)
class Prepared:
    """What was found of a subset."""

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
    """What was found of a dataset, and where it was written."""

    folder: Path
    subsets: tuple[Prepared, ...]
    absent: tuple[str, ...]  # subsets without an annotation file
    problems: tuple[str, ...]  # one line each: recordings and archives amiss


def prepare(
    name: str, root: Path | str, output: Path | str, options: Options | None = None
) -> Preparation:
    """Check a dataset under `root` and write its prepared folder.

    DatasetAbsentError: none of its annotation files is here; DatasetError: one is
    malformed, or audio is wanted and there is no recording at all
    """
    source, options, output = source_of(name), options or Options(), Path(output)
    root = dataset_root(source, Path(root))
    problems = _extract(source, root, options) if options.audio else []
    listed, absent = _read_all(source, root, options)
    found, reasons = _find_all(name, root, listed, options)
    if options.audio and not any(found.values()):
        raise DatasetError(f"{reasons[0]}; or use the captions alone, --captions-only")
    reports = []
    for subset, (clips, repeated) in listed.items():
        checks = _check(found[subset], output, options)
        problems += [check.error for check in checks.values() if check.error]
        counts = _write(output, subset, clips, found[subset], checks, options)
        number = counts["captions" if source.counted == "captions" else "clips"]
        published = source.verdict(subset, number)
        reports.append(
            Prepared(subset, **counts, repeated=repeated, published=published)
        )
    result = Preparation(output, tuple(reports), tuple(absent), tuple(problems))
    _write_report(source, root, result)
    return result


def dataset_root(source: Source, root: Path) -> Path:
    """Return `root`, or the folder inside it that aac-datasets makes."""
    inside = root / source.folder if source.folder else root
    return inside if inside.is_dir() else root


def subset_names(name: str, subsets: Sequence[str]) -> list[str]:
    """Return the published names of `subsets`, or all; DatasetError on another."""
    known = list(source_of(name).expected)
    other = CLOTHO_SUBSETS if name == "clotho" else {"validation": "val"}
    names = [other.get(subset, subset) for subset in subsets]
    for given, subset in zip(subsets, names, strict=True):
        if subset not in known:
            raise DatasetError(
                f"{name} has no subset {given!r}: choose from {', '.join(known)}"
            )
    return list(dict.fromkeys(names)) or known


def _reader(name: str, root: Path, options: Options) -> Callable:
    """Return (subset, audio) -> an object with `clips` and `missing`."""

    def soundvecaps(subset: str, audio: bool):
        csv_path = root / f"{subset}.csv"
        if not csv_path.is_file():
            raise DatasetAbsentError(
                f"{root}: has no {subset}.csv; give the folder of Sound-VECaps"
            )
        columns = {
            "id_column": options.id_column,
            "caption_column": options.caption_column,
        }
        return read_soundvecaps(csv_path, root if audio else None, **columns)

    return {
        "audiocaps": lambda subset, audio: read_audiocaps(
            root, subset, audio=audio, version=options.version
        ),
        "clotho": lambda subset, audio: read_clotho(root, subset, audio=audio),
        "wavcaps": lambda subset, audio: read_wavcaps(root, [subset], audio=audio),
        "soundvecaps": soundvecaps,
    }[name]


def _read_all(
    source: Source, root: Path, options: Options
) -> tuple[dict[str, tuple[list[Clip], int]], list[str]]:
    """Return subset -> (its clips, how many were listed twice), and those not here."""
    read = _reader(source.name, root, options)
    listed, absent = {}, {}
    for subset in subset_names(source.name, options.subsets):
        try:
            clips = read(subset, False).clips
        except DatasetAbsentError as error:
            if options.subsets:
                raise
            absent[subset] = error
            continue
        distinct = {}
        for clip in clips:
            distinct.setdefault(clip.clip_id, clip)
        listed[subset] = list(distinct.values()), len(clips) - len(distinct)
    if not listed:
        raise next(iter(absent.values()))
    return listed, list(absent)


def _find_all(
    name: str, root: Path, listed: dict, options: Options
) -> tuple[dict[str, dict[str, Path]], list[str]]:
    """Return subset -> clip id -> recording, and why a subset has none at all."""
    read = _reader(name, root, options)
    found, reasons = {subset: {} for subset in listed}, []
    for subset in listed if options.audio else ():
        try:
            clips = read(subset, True).clips
        except (DatasetError, AudioError) as error:  # its captions have been read
            reasons.append(str(error))
            continue
        for clip in clips:
            found[subset].setdefault(clip.clip_id, clip.path)
    return found, reasons


def _check(
    recordings: dict[str, Path], output: Path, options: Options
) -> dict[str, Check]:
    """Return clip id -> what decoding its recording found; nothing if not wanted."""
    if not options.check or not recordings:
        return {}
    checks = check_recordings(
        recordings.values(), output / CHECKED, progress=options.progress
    )
    return {clip_id: checks[path] for clip_id, path in recordings.items()}


def _write(
    output: Path,
    subset: str,
    clips: list[Clip],
    recordings: dict[str, Path],
    checks: dict[str, Check],
    options: Options,
) -> dict[str, int | None]:
    """Write a subset's files and return its counts, as Prepared names them."""
    errors = {clip_id: each.error for clip_id, each in checks.items() if each.error}
    missing = [clip.clip_id for clip in clips if clip.clip_id not in recordings]
    usable = {k: path for k, path in recordings.items() if k not in errors}
    write_prepared(
        output / f"{subset}.jsonl",
        (_located(clip, usable, checks) for clip in clips),
    )
    if options.audio:
        _write_lines(output / f"{subset}.missing.txt", missing)
        lines = [f"{clip_id}\t{error}" for clip_id, error in errors.items()]
        _write_lines(output / f"{subset}.unreadable.txt", lines)
    return {
        "clips": len(clips),
        "captions": sum(len(clip.captions) for clip in clips),
        "recordings": len(recordings) if options.audio else None,
        "missing": len(missing) if options.audio else None,
        "unreadable": len(errors) if options.audio and options.check else None,
    }


def _located(clip: Clip, usable: dict[str, Path], checks: dict[str, Check]) -> Clip:
    """Return a clip with its usable recording and, if decoded, its true length."""
    path, check = usable.get(clip.clip_id), checks.get(clip.clip_id)
    seconds = check.seconds if check and check.seconds else clip.duration
    return dataclasses.replace(clip, path=path, duration=seconds)


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


def _write_report(source: Source, root: Path, result: Preparation) -> None:
    report = {
        "dataset": source.name,
        "licence": source.licence,
        "root": str(root.absolute()),
        "subsets": [dataclasses.asdict(each) for each in result.subsets],
        "absent": result.absent,
        "problems": result.problems,
    }
    write_json(result.folder / "report.json", report)


def _extract(source: Source, root: Path, options: Options) -> list[str]:
    """Unpack WavCaps' archives into Audio/<source>, as aac-datasets does."""
    problems = []
    if source.name != "wavcaps":
        return problems
    for subset in subset_names(source.name, options.subsets):
        for archive in (
            root / "Zip_files" / subset / f"{subset}.zip",
            root / f"{subset}.zip",
        ):
            if archive.is_file():
                problems += extract_recordings(
                    archive, root / "Audio" / subset, progress=options.progress
                )
    return problems
