"""Which recordings were decoded to their end, on record so that no run does it twice.

One JSON line a recording is appended as soon as it is known, so a killed run goes on
where it was. A recording that has changed since (size, time) is decoded again.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drcap.audio import measure
from drcap.errors import AudioError


@dataclass(frozen=True)
class Check:
    """What decoding a recording found: its length, or why it cannot be read."""

    seconds: float | None
    error: str | None


def check_recordings(
    paths: Iterable[Path], log: Path, *, progress: bool = True
) -> dict[Path, Check]:
    """Decode each recording whole, unless `log` has it already; return what was found.

    Nothing is raised for a recording: an unreadable one has an `error`, one line.
    """
    known = _read(log)
    found: dict[Path, Check] = {}
    log.parent.mkdir(parents=True, exist_ok=True)
    bar = tqdm(list(paths), desc="decoding", unit="clip", delay=2, disable=not progress)
    with open(log, "a", encoding="utf-8") as sink:
        for path in bar:
            key = _key(path)
            if key not in known:
                known[key] = _decode(path)
                entry = [*key, known[key].seconds, known[key].error]
                sink.write("\n" + json.dumps(entry, ensure_ascii=False))
                sink.flush()
            found[path] = known[key]
    return found


def _key(path: Path) -> tuple[str, int, int]:
    try:
        status = path.stat()
    except OSError:  # a dangling link: decoding it says so
        return str(path.absolute()), -1, -1
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _decode(path: Path) -> Check:
    try:
        return Check(measure(path), None)
    except AudioError as error:
        return Check(None, str(error))


def _read(log: Path) -> dict[tuple[str, int, int], Check]:
    known = {}
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    for line in text.split("\n"):
        try:
            path, size, time, seconds, error = json.loads(line)
        except (ValueError, TypeError):  # blank, or cut off by a kill
            continue
        known[path, size, time] = Check(seconds, error)
    return known
