"""`drcap datastore`: build, change and describe folders of captions to retrieve."""

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Build and change datastores of captions to retrieve from.",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A datastore's folder.")]
CaptionsFile = Annotated[
    Path,
    typer.Argument(
        metavar="CAPTIONS_FILE",
        help="Captions: txt (one a line), csv, tsv, jsonl or parquet (`caption`).",
    ),
]
Clap = Annotated[
    str, typer.Option("--clap", help="The CLAP model that encodes the captions.")
]
DEFAULT_CLAP = "tag-bridge"


@app.command()
def build(
    captions_file: CaptionsFile,
    output: Annotated[Path, typer.Option("--output", help="The folder to write.")],
    clap: Clap = DEFAULT_CLAP,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a datastore that is there.")
    ] = False,
) -> None:
    """Encode the captions of a file into a new datastore."""
    from drcap import datastore_files
    from drcap.clap import load_clap
    from drcap.data.captions import read_captions
    from drcap.retrieval import CaptionDatastore

    datastore_files.check_target(output, overwrite=overwrite)
    captions = read_captions(captions_file)
    datastore = CaptionDatastore.build(captions, load_clap(clap))
    datastore.save(output)
    repeats = len(captions) - len(datastore)
    typer.echo(f"{output}: {len(datastore)} captions, {repeats} repeats left out")


@app.command()
def add(folder: Folder, captions_file: CaptionsFile, clap: Clap = DEFAULT_CLAP) -> None:
    """Add the captions of a file, encoding only those that are new."""
    from drcap.clap import load_clap
    from drcap.data.captions import read_captions
    from drcap.retrieval import CaptionDatastore

    captions = read_captions(captions_file)
    encoder = load_clap(clap)
    datastore = CaptionDatastore.load(folder, encoder)
    added = datastore.add(captions, encoder)
    datastore.save(folder)
    typer.echo(f"{folder}: {added} added, {len(datastore)} captions")


@app.command()
def remove(folder: Folder, captions_file: CaptionsFile) -> None:
    """Remove the captions of a file; the others are not encoded again."""
    from drcap.data.captions import read_captions
    from drcap.retrieval import CaptionDatastore

    captions = read_captions(captions_file)
    datastore = CaptionDatastore.load(folder)
    removed = datastore.remove(captions)
    datastore.save(folder)
    typer.echo(f"{folder}: {removed} removed, {len(datastore)} captions")


@app.command()
def info(
    folder: Folder,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object.")
    ] = False,
) -> None:
    """Check a datastore's files and describe it."""
    from drcap.retrieval import CaptionDatastore

    datastore = CaptionDatastore.load(folder)
    facts = {
        "folder": str(folder),
        "captions": len(datastore),
        "dim": datastore.dim,
        "encoder": datastore.encoder,
        "fingerprint": datastore.fingerprint,
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
    }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:<12} {value}")
