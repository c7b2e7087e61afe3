"""`drcap data`: the real datasets; `drcap import`: what the authors' code made."""

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

from drcap.cli import options
from drcap.cli.options import CAPTIONS, argument, option

if TYPE_CHECKING:
    from drcap.data.prepare import Preparation

app = typer.Typer(
    help="Real datasets: what to download, prepare, import, export.",
    no_args_is_help=True,
)
importing = typer.Typer(
    help="Take over models that other code trained.", no_args_is_help=True
)
Name = argument(str, "NAME", "audiocaps, clotho, wavcaps or soundvecaps.")
FOLDER = "data/NAME in drcap's cache"
PURPOSE = "A line a caption, or a recording."
Purpose = Literal["training", "inference"]
VICUNA = "lmsys/vicuna-7b-v1.5"


@app.command()
def sources(name: Name) -> None:
    """Say what to download of a dataset: from where, how large, on what terms."""
    print(_sources_page(name))


@app.command()
def prepare(
    name: Name,
    root: option(Path, "The dataset's folder, as downloaded."),
    output: option(Path | None, "Folder of the result.", default=FOLDER) = None,
    subset: option(list[str] | None, "May be repeated.", default="all there") = None,
    captions_only: option(bool, "Look for no audio.", "--captions-only") = False,
    no_check: option(bool, "Do not decode the recordings.", "--no-check") = False,
    version: option(str | None, "AudioCaps: v1 or v2, if both are there.") = None,
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

    published.subset_names(name, subset or ())
    folder = options.writable(output or paths.datasets() / name)
    chosen = {"audio": not captions_only, "check": not no_check, "version": version}
    try:
        result = preparing.prepare(name, root, folder, subsets=subset or (), **chosen)
    except DatasetAbsentError:
        if not as_json:
            print(_sources_page(name))
        raise
    facts = dataclasses.asdict(result) | {"folder": str(result.folder)}
    print(json.dumps(facts) if as_json else _page(name, result))
    for problem in result.problems:
        print(f"drcap: {problem}", file=sys.stderr)
    if result.problems:
        raise typer.Exit(2)


def _sources_page(name: str) -> str:
    from tabulate import tabulate

    from drcap.data.sources import source_of

    source = source_of(name)
    headers = {"what": "download", "url": "from", "into": "into --root's"}
    lines = [f"{source.title}. Licence: {source.licence}.", ""]
    lines += [tabulate(source.downloads, headers=headers)]
    if source.folder:
        fetch = f"aac-datasets-download --root DIR {name}"
        lines += ["", f"Or `pip install aac-datasets==0.7.0`, then `{fetch}`."]
    return "\n".join(lines)


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


@app.command("export")
def export_clips(
    prepared: argument(Path, "FILE.jsonl", "A prepared subset."),
    output: option(Path, "The file to write."),
    purpose: option(Purpose, PURPOSE, "--for") = "training",
    datastore: option(Path | None, "Fills similar_captions.") = None,
    clap: option(str, "The CLAP model of the datastore.") = "caption-bridge",
    seed: option(int, "Of the similar captions drawn.") = 0,
) -> None:
    """Write a prepared subset in the form that the authors' code reads.

    Similar captions are drawn as in training, or for inference retrieved by the
    recording; without a datastore `similar_captions` is an empty list.
    """
    from drcap.authors import jsonl

    options.writable(output.parent)
    given = {"datastore": datastore, "clap": clap, "seed": seed}
    inference = purpose == "inference"
    lines = jsonl.export_clips(prepared, output, inference=inference, **given)
    print(f"{output}: {lines} lines")


@app.command("import")
def import_clips(
    authors_file: argument(Path, "FILE.jsonl", "A file of the authors."),
    output: option(Path, "The file to write."),
    subset: option(str | None, "Its name.", default="the file's") = None,
) -> None:
    """Turn a file of the authors into a prepared subset.

    Their similar captions are not carried over: training draws its own.
    """
    from drcap.authors import jsonl

    options.writable(output.parent)
    clips, captions, empty = jsonl.import_clips(authors_file, output, subset)
    print(f"{output}: {clips} clips, {captions} captions, {empty} lines empty")


@importing.callback()
def group() -> None:
    """Keep `authors` a subcommand although it is the only one."""


@importing.command("authors")
def model(
    clap: option(Path, "Their CLAP, best_model.pt."),
    mapper: option(Path, "Their model.pt."),
    support: option(Path, "Their text embedding support."),
    output: option(Path, "The folder to write."),
    lora: option(Path | None, "Their adapter, if model.pt holds none.") = None,
    captions: option(Path | None, "File of captions.", default=CAPTIONS) = None,
    language_model: option(str, "The adapter's: asset, folder or hub id.") = VICUNA,
    tokenizer: option(str, "CLAP's: asset, folder or hub id.") = "roberta-base",
    device: options.Device = "auto",
) -> None:
    """Write the authors' released model as a folder for `drcap caption --checkpoint`.

    It holds all but the language model, about 0.9 GB: CLAP 0.62, mapper 0.04,
    adapter 0.02, and the support, 0.20 of AudioCaps' captions. Nothing is written
    unless every tensor of every file is accounted for.
    """
    from drcap.authors.captioner import import_model

    options.writable(output.absolute().parent)
    models = {"language_model": language_model, "tokenizer": tokenizer}
    files = {"lora": lora, "captions": captions, "device": device}
    size = import_model(clap, mapper, support, output, **models, **files)
    print(f"{output}: {size / 1e6:.1f} MB, to be used with {language_model}")
