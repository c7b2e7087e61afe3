"""`drcap datastore`: build, change and describe folders of captions to retrieve."""

import json
from pathlib import Path

import typer

from drcap.cli import options
from drcap.cli.options import argument, option

app = typer.Typer(
    help="Build and change datastores of captions to retrieve from.",
    no_args_is_help=True,
)

TEXTS = "txt (one a line), csv, tsv, jsonl or parquet (`caption`)."
Folder = argument(Path, "DIR", "A datastore's folder.")
CaptionsFile = argument(Path, "CAPTIONS_FILE", TEXTS)
Clap = option(str, "The CLAP model that encodes the captions.")
BRIDGE = "caption-bridge"


@app.command()
def build(
    captions_file: CaptionsFile,
    output: option(Path, "The folder to write."),
    clap: Clap = BRIDGE,
    dtype: option(str, "Of embeddings on disk: float32 or float16.") = "float32",
    index: option(str, "Search: exact, or approximate by ivf or hnsw.") = "exact",
    overwrite: option(
        bool, "Replace a datastore that is there.", "--overwrite"
    ) = False,
) -> None:
    """Encode the captions of a file into a new datastore; resumes after a kill.

    `torchrun --nproc-per-node N -m drcap.cli datastore build ...` shares the work among
    N processes: of GPUs, each has one.
    """
    from drcap.data.clip import read_captions
    from drcap.load import load_clap
    from drcap.processes import Processes
    from drcap.retrieval import CaptionDatastore
    from drcap.retrieval.build import build_datastore
    from drcap.retrieval.files import check_target
    from drcap.retrieval.index import check_settings, recall

    options.writable(output.absolute().parent)
    check_target(output, overwrite=overwrite)
    check_settings(index, dtype)
    captions = read_captions(captions_file)
    team = Processes()
    device = (str(team.device),) if team.count > 1 else ()  # each has its own
    encoder, kept = load_clap(clap, *device), {"dtype": dtype, "index": index}
    build_datastore(output, captions, encoder, **kept, processes=team)
    if not team.main:  # one of the processes reports
        return
    datastore = CaptionDatastore.load(output)
    repeats = len(captions) - len(datastore)
    print(f"{output}: {len(datastore)} captions, {repeats} repeats left out")
    if index != "exact":
        print(f"{output}: {index} finds {recall(datastore):.1%} of the exact top 3")


@app.command()
def add(folder: Folder, captions_file: CaptionsFile, clap: Clap = BRIDGE) -> None:
    """Add the captions of a file, encoding only those that are new."""
    from drcap.data.clip import read_captions
    from drcap.load import load_clap
    from drcap.retrieval import CaptionDatastore

    captions = read_captions(captions_file)
    encoder = load_clap(clap)
    datastore = CaptionDatastore.load(folder, encoder)
    added = datastore.add(captions, encoder)
    datastore.save(folder)
    print(f"{folder}: {added} added, {len(datastore)} captions")


@app.command()
def remove(folder: Folder, captions_file: CaptionsFile) -> None:
    """Remove the captions of a file; the others are not encoded again."""
    from drcap.data.clip import read_captions
    from drcap.retrieval import CaptionDatastore

    captions = read_captions(captions_file)
    datastore = CaptionDatastore.load(folder)
    removed = datastore.remove(captions)
    datastore.save(folder)
    print(f"{folder}: {removed} removed, {len(datastore)} captions")


@app.command()
def info(folder: Folder, as_json: options.AsJson = False) -> None:
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
        print(json.dumps(facts, ensure_ascii=False))
    else:
        print("\n".join(f"{name:<12} {value}" for name, value in facts.items()))
