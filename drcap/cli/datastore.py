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
    dtype: Annotated[
        str, typer.Option(help="Of the embeddings on disk: float32 or float16.")
    ] = "float32",
    index: Annotated[
        str, typer.Option(help="Search: exact, or approximate by ivf or hnsw.")
    ] = "exact",
    processes: Annotated[
        int, typer.Option(min=1, help="How many encode; on GPUs, one each.")
    ] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a datastore that is there.")
    ] = False,
) -> None:
    """Encode the captions of a file into a new datastore.

    Killed, the same command goes on. `accelerate launch -m drcap.cli datastore build`
    shares the work as --processes does.
    """
    from drcap.data.captions import read_captions
    from drcap.files.embeddings import check_dtype
    from drcap.retrieval import datastore_files
    from drcap.retrieval.nearest import check_index

    datastore_files.check_target(output, overwrite=overwrite)
    check_dtype(dtype)
    check_index(index)
    captions = read_captions(captions_file)
    if processes == 1:
        _build(captions, output, clap, dtype, index)
        return
    options = ["--output", str(output), "--clap", clap, "--dtype", dtype]
    options += ["--index", index, *(["--overwrite"] if overwrite else [])]
    _launch([*options, "--", str(captions_file)], processes)


def _build(
    captions: list[str], output: Path, clap_name: str, dtype: str, index: str
) -> None:
    """Build as one of the processes that share the work; the first one tells."""
    from drcap.clap import load_clap
    from drcap.processes import Processes
    from drcap.retrieval.datastore_build import build_datastore

    team = Processes()
    device = (str(team.device),) if team.count > 1 else ()  # each has its own
    clap = load_clap(clap_name, *device)
    options = {"dtype": dtype, "index": index, "processes": team}
    build_datastore(output, captions, clap, **options)
    if team.main:
        _tell(output, len(captions))


def _tell(output: Path, captions: int) -> None:
    """Say what was kept and, of an approximate search, what share it finds."""
    from drcap.retrieval import CaptionDatastore
    from drcap.retrieval.recall import sampled_recall

    datastore = CaptionDatastore.load(output)
    repeats = captions - len(datastore)
    typer.echo(f"{output}: {len(datastore)} captions, {repeats} repeats left out")
    if datastore.index != "exact":
        found = sampled_recall(datastore)
        typer.echo(f"{output}: {datastore.index} finds {found:.1%} of the exact top 3")


def _launch(arguments: list[str], processes: int) -> None:
    """Build in several processes; each of them reads the captions for itself."""
    from drcap.errors import DatastoreError
    from drcap.processes.launch import launch

    command = ["datastore", "build", *arguments]
    if not launch("drcap.cli", command, processes):
        raise DatastoreError(
            "one of the processes failed: mend what it says above and run the same "
            "command again, it goes on from what is encoded"
        )


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
        "dtype": datastore.embeddings.dtype.name,
        "index": datastore.index,
        "encoder": datastore.encoder,
        "fingerprint": datastore.fingerprint,
        "bytes": sum(file.stat().st_size for file in folder.iterdir()),
    }
    if as_json:
        typer.echo(json.dumps(facts, ensure_ascii=False))
    else:
        for name, value in facts.items():
            typer.echo(f"{name:<12} {value}")
