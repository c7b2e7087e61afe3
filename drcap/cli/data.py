"""`drcap data`: what to download of the real datasets, and their preparation."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap.cli import authors, options
from drcap.cli.options import argument, option

if TYPE_CHECKING:
    from drcap.data.prepare import Preparation

app = typer.Typer(
    help="Real datasets: what to download, prepare, import, export.",
    no_args_is_help=True,
)
app.command("export")(authors.export_clips)
app.command("import")(authors.import_clips)
Name = argument(str, "NAME", "audiocaps, clotho, wavcaps or soundvecaps.")
FOLDER = "data/NAME in drcap's cache"
COLUMN = "Sound-VECaps: the column of"


@app.command()
def sources(name: Name) -> None:
    """Say what to download of a dataset: from where, how large, on what terms."""
    print(_sources_page(name))


@app.command()
def prepare(
    name: Name,
    root: option(Path, "The dataset's folder, as downloaded."),
    output: option(Path | None, "Folder of the result.", default=FOLDER) = None,
    download: option(bool, "Fetch it by aac-datasets first.", "--download") = False,
    subset: option(list[str] | None, "May be repeated.", default="all there") = None,
    captions_only: option(bool, "Look for no audio.", "--captions-only") = False,
    no_check: option(bool, "Do not decode the recordings.", "--no-check") = False,
    version: option(str | None, "AudioCaps: v1 or v2, if both are there.") = None,
    id_column: option(str | None, f"{COLUMN} YouTube ids.") = None,
    caption_column: option(str | None, f"{COLUMN} captions.") = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a dataset and write what training reads; run again, it goes on.

    Missing clips are counted and listed. A recording that cannot be read, or an
    archive's damaged member, is reported on stderr, the rest is prepared, and
    the exit code is 2.
    """
    from drcap import paths
    from drcap.data import prepare as preparing
    from drcap.data import sources as published
    from drcap.errors import DatasetAbsentError

    chosen = preparing.Options(
        subsets=tuple(subset or ()),
        audio=not captions_only,
        check=not no_check,
        version=version,
        id_column=id_column,
        caption_column=caption_column,
    )
    published.subset_names(name, chosen.subsets)
    folder = options.writable(output or paths.datasets() / name)
    if download:
        published.download(name, root, chosen.subsets, version)
    try:
        result = preparing.prepare(name, root, folder, chosen)
    except DatasetAbsentError:
        if not as_json:
            print(_sources_page(name))
        raise
    print(json.dumps(_summary(result)) if as_json else _page(name, result))
    for problem in result.problems:
        print(f"drcap: {problem}", file=sys.stderr)
    if result.problems:
        raise typer.Exit(2)


def _sources_page(name: str) -> str:
    from tabulate import tabulate

    from drcap.data.sources import source_of

    source = source_of(name)
    rows = [dataclasses.asdict(download) for download in source.downloads]
    headers = {"what": "download", "url": "from", "into": "into --root's"}
    lines = [f"{source.title}. Licence: {source.licence}.", ""]
    lines += [tabulate(rows, headers=headers)]
    if source.fetched:
        lines += ["", "Or let `drcap data prepare --download` fetch it."]
    return "\n".join(lines)


def _summary(result: "Preparation") -> dict:
    return {**dataclasses.asdict(result), "folder": str(result.folder)}


def _page(name: str, result: "Preparation") -> str:
    from tabulate import tabulate

    rows = [dataclasses.asdict(subset) for subset in result.subsets]
    lines = [
        tabulate(rows, headers="keys", missingval="-", intfmt=","),
        "",
        f"Written to {result.folder}: <subset>.jsonl, and lists of the missing and "
        "the unreadable clips.",
    ]
    if result.absent:
        absent = ", ".join(result.absent)
        lines.append(f"Not here: {absent} (`drcap data sources {name}`)")
    return "\n".join(lines)
