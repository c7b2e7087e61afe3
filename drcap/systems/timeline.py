"""A long recording captioned in time: a caption for each window, as lines or subtitles.

In: a recording of any length, read window by window, so that memory does not grow with
it. Out: segments, neighbours of one caption merged, as text, JSON lines, CSV, SubRip
(srt) or WebVTT (vtt).
"""

import csv
import html
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from drcap import audio
from drcap.errors import AudioError
from drcap.systems.drcap import DRCap

BATCH_SIZE = 4  # of windows: a CPU is as fast with 8, which take 150 MB more


@dataclass(frozen=True)
class Segment:
    """What is heard from `start` to `end`; `error` says why no caption follows."""

    warning = None  # silence is nothing odd within a recording

    file: str
    start: float  # seconds
    end: float
    caption: str | None
    error: str | None = None


def caption_in_time(
    model: DRCap, path: Path | str, every: float, **options: Any
) -> Iterator[Segment]:
    """Yield the segments of a recording, in order, as groups of windows are done.

    every : seconds of a window; a tail under a second is left out
    options : as in `DRCap.caption_stream`

    A fault in the file is the last segment's `error`, after what could be read.
    """
    last = None
    for segment in _each_window(model, path, every, options):
        if last and segment.caption == last.caption and segment.error is None:
            last = replace(last, end=segment.end)
            continue
        if last:
            yield last
        last = segment
    yield last


def _each_window(
    model: DRCap, path: Path | str, every: float, options: dict[str, Any]
) -> Iterator[Segment]:
    sr, lengths, faults = model.clap.sr, [], []

    def windows():
        try:
            for window in audio.windows(path, sr, every):
                lengths.append(len(window))
                yield window
        except AudioError as error:
            faults.append(str(error))

    options, start = {"batch_size": BATCH_SIZE} | options, 0.0
    for place, result in enumerate(model.caption_stream(windows(), **options)):
        end = start + lengths[place] / sr
        yield Segment(str(path), start, end, result.caption)
        start = end
    for fault in faults:
        yield Segment(str(path), start, start, None, error=fault)


def clock(seconds: float, mark: str = ".") -> str:
    """Write a time as subtitles have it: 3723.5 -> "01:02:03.500"."""
    minutes, milliseconds = divmod(round(seconds * 1000), 60_000)
    hours, minutes = divmod(minutes, 60)
    whole, part = divmod(milliseconds, 1000)
    return f"{hours:02}:{minutes:02}:{whole:02}{mark}{part:03}"


def _text(number: int, segment: Segment) -> str:
    times = f"{clock(segment.start)}\t{clock(segment.end)}"
    return f"{segment.file}\t{times}\t{segment.caption}"


def _json_line(number: int, segment: Segment) -> str:
    return json.dumps(_record(segment), ensure_ascii=False)


def _csv_row(number: int, segment: Segment) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(_record(segment).values())
    return line.getvalue()


def _srt(number: int, segment: Segment) -> str:
    times = f"{clock(segment.start, ',')} --> {clock(segment.end, ',')}"
    return f"{number}\n{times}\n{segment.caption}\n"


def _vtt(number: int, segment: Segment) -> str:
    times = f"{clock(segment.start)} --> {clock(segment.end)}"
    return f"{times}\n{html.escape(segment.caption, quote=False)}\n"


def _record(segment: Segment) -> dict[str, Any]:
    times = {"start": round(segment.start, 3), "end": round(segment.end, 3)}
    return {"file": segment.file, **times, "caption": segment.caption}


FORMATS: dict[str, Callable[[int, Segment], str]] = {
    "text": _text,  # file, start, end and caption with tabs between
    "jsonl": _json_line,
    "csv": _csv_row,
    "srt": _srt,
    "vtt": _vtt,
}
HEADERS = {"csv": "file,start,end,caption", "vtt": "WEBVTT\n"}
OF_ONE = ("srt", "vtt")  # hold one recording
