"""`drcap caption`: recordings in, one caption a line out, as soon as each is done."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap.cli import options
from drcap.cli.options import argument, option

if TYPE_CHECKING:
    from drcap.systems.base import Captioned


def caption(
    paths: argument(list[Path], "PATH", "Recordings or folders."),
    recursive: option(bool, "Search folders within folders.", "--recursive") = False,
    as_json: options.AsJson = False,
    datastore: options.Datastore = None,
    support: options.Support = None,
    captions: option(Path | None, "File that serves as datastore and support.") = None,
    top_k: options.TopK = None,
    beams: options.Beams = None,
    choice: options.Choice = None,
    sample: options.Sample = False,
    temperature: options.Temperature = None,
    top_p: options.TopP = None,
    seed: options.DrawSeed = None,
    device: options.Device = "auto",
    checkpoint: options.Checkpoint = None,
    no_retrieval: options.NoRetrieval = False,
    no_projection: options.NoProjection = False,
) -> None:
    """Caption recordings: one line each, the file, a tab and the caption.

    With --json one object a line: file, caption, similar_captions, seconds and
    warning if there is one; or file and error. A file that cannot be read is
    reported on stderr, the rest is captioned, and the exit code is 2.
    """
    from drcap.audio import find_recordings

    chosen = options.CaptionOptions(
        *(datastore, support, top_k, beams),
        *(no_retrieval, no_projection, captions, choice),
        *(sample, temperature, top_p, seed),
    )
    recordings = find_recordings(paths, recursive=recursive)
    model = options.load_model(checkpoint, device)
    results = model.caption_stream(recordings, **chosen.settings(model.clap))

    def line(result: "Captioned") -> str | None:
        if as_json:
            return json.dumps(_record(result), ensure_ascii=False)
        return None if result.error else f"{result.file}\t{result.caption}"

    done = options.print_all(results, len(recordings), "captioning", line)
    if any(result.error for result in done):
        raise typer.Exit(2)


def _record(result: "Captioned") -> dict:
    if result.error is not None:
        return {"file": result.file, "error": result.error}
    record = {
        "file": result.file,
        "caption": result.caption,
        "similar_captions": [asdict(match) for match in result.similar_captions],
        "seconds": result.seconds,
    }
    return record | ({"warning": result.warning} if result.warning else {})
