"""`drcap caption`: recordings in, one caption a line out, as soon as each is done."""

from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap.cli import options
from drcap.cli.options import argument, option
from drcap.errors import ConfigError, check_choice

if TYPE_CHECKING:
    from drcap.systems.base import Captioned
    from drcap.systems.timeline import Segment


FORMAT = "Of captions in time: text, jsonl, csv, srt or vtt."


@options.with_caption_options
def caption(
    paths: argument(list[Path], "PATH", "Recordings or folders."),
    recursive: option(bool, "Search folders within folders.", "--recursive") = False,
    as_json: options.AsJson = False,
    every: option(
        float | None, "Caption each window of so many seconds.", min=1
    ) = None,
    form: option(str | None, FORMAT, "--format", default="text") = None,
    device: options.Device = "auto",
    checkpoint: options.Checkpoint = None,
    *,
    chosen: options.CaptionOptions,
) -> None:
    """Caption recordings: one line each, the file, a tab and the caption.

    With --json one object a line: file, caption, similar_captions, seconds and
    warning if there is one; or file and error. A file that cannot be read is
    reported on stderr, the rest is captioned, and the exit code is 2.

    With --every a recording of any length is captioned window by window; equal
    neighbours are merged. --format: lines of file, start, end and caption, or
    subtitles of one recording.
    """
    from drcap.audio import find_recordings
    from drcap.systems.drcap import DRCap

    recordings = find_recordings(paths, recursive=recursive)
    form = _format(every, form, as_json, len(recordings))
    model = DRCap.from_pretrained(checkpoint, device=device)
    settings = chosen.settings(model.clap)
    if every:
        done = _print_in_time(model, recordings, every, form, settings)
    else:
        done = _print_whole(model, recordings, as_json, settings)
    if any(result.error for result in done):
        raise typer.Exit(2)


def _format(every: float | None, form: str | None, as_json: bool, files: int) -> str:
    """Return the name of the format; ConfigError if it cannot be had."""
    from drcap.systems.timeline import FORMATS, OF_ONE

    if form and not every:
        raise ConfigError("--format is of captions in time: add --every, or drop it")
    if form and as_json:
        raise ConfigError("--format and --json exclude each other: drop one")
    form = form or ("jsonl" if as_json else "text")
    check_choice("--format", form, FORMATS, ConfigError)
    if form in OF_ONE and files > 1:
        raise ConfigError(f"--format {form} holds one recording, not {files}")
    return form


def _print_in_time(model, recordings, every: float, form: str, settings: dict) -> list:
    from drcap.systems.timeline import FORMATS, HEADERS, caption_in_time

    numbers = count(1)

    def line(segment: "Segment") -> str | None:
        if segment.error:
            return options.json_line(segment) if form == "jsonl" else None
        return FORMATS[form](next(numbers), segment)

    if form in HEADERS:
        print(HEADERS[form])
    segments = chain.from_iterable(
        caption_in_time(model, file, every, **settings) for file in recordings
    )
    return options.print_all(segments, None, "captioning", line, unit="segment")


def _print_whole(model, recordings, as_json: bool, settings: dict) -> list:
    results = model.caption_stream(recordings, **settings)

    def line(result: "Captioned") -> str | None:
        if as_json:
            similar = [asdict(match) for match in result.similar_captions]
            facts = {"similar_captions": similar, "seconds": result.seconds}
            return options.json_line(result, caption=result.caption, **facts)
        return None if result.error else f"{result.file}\t{result.caption}"

    return options.print_all(results, len(recordings), "captioning", line)
