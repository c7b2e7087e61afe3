"""`drcap data`: prepare the real datasets; exchange files with the authors' code."""

import dataclasses
import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from drcap.cli import options

if TYPE_CHECKING:
    from drcap.data.captions import Clip
    from drcap.data.prepare import Preparation

app = typer.Typer(
    help="Real datasets: what to download, prepare, import, export.",
    no_args_is_help=True,
)
Name = Annotated[str, typer.Argument(help="audiocaps, clotho, wavcaps or soundvecaps")]
JsonLines = Annotated[Path, typer.Argument(metavar="FILE.jsonl")]
Subset = Annotated[
    list[str] | None,
    typer.Option(
        "--subset", help="May be repeated.", show_default="all that are there"
    ),
]


class Purpose(StrEnum):
    """What the authors' code is to do with an exported file."""

    training = "training"
    inference = "inference"


@app.command()
def sources(name: Name) -> None:
    """Say what to download of a dataset: from where, how large, on what terms."""
    print(_sources_page(name))


@app.command()
def prepare(
    name: Name,
    root: Annotated[
        Path, typer.Option(metavar="DIR", help="The dataset's folder, as downloaded.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(metavar="DIR", show_default="data/<name> in drcap's cache"),
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Fetch it through aac-datasets first.")
    ] = False,
    subset: Subset = None,
    captions_only: Annotated[
        bool, typer.Option("--captions-only", help="Look for no recordings.")
    ] = False,
    no_check: Annotated[
        bool, typer.Option("--no-check", help="Do not decode the recordings.")
    ] = False,
    version: Annotated[
        str | None, typer.Option(help="AudioCaps: v1 or v2, if both are there.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Sound-VECaps: the column of YouTube ids.")
    ] = None,
    caption_column: Annotated[
        str | None, typer.Option(help="Sound-VECaps: the column of captions.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Check a dataset and write what training reads; run again, it goes on.

    Missing clips are counted and listed. A recording that cannot be read, or an
    archive's damaged member, is reported on stderr, the rest is prepared, and
    the exit code is 2.
    """
    from drcap import paths
    from drcap.data import prepare as preparing
    from drcap.data.download import download as fetch
    from drcap.errors import DatasetAbsentError

    wanted = preparing.Options(
        subsets=tuple(subset or ()),
        audio=not captions_only,
        check=not no_check,
        version=version,
        id_column=id_column,
        caption_column=caption_column,
    )
    preparing.subset_names(name, wanted.subsets)
    if download:
        fetch(name, root, wanted.subsets, version)
    try:
        found = preparing.prepare(name, root, output or paths.datasets() / name, wanted)
    except DatasetAbsentError:
        if not as_json:
            print(_sources_page(name))
        raise
    print(json.dumps(_summary(found)) if as_json else _page(name, found))
    for problem in found.problems:
        print(f"drcap: {problem}", file=sys.stderr)
    if found.problems:
        raise typer.Exit(2)


@app.command("export")
def export_authors(
    prepared: JsonLines,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    purpose: Annotated[
        Purpose, typer.Option("--for", help="A line a caption, or a line a recording.")
    ] = Purpose.training,
    datastore: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Fill similar_captions from this datastore."),
    ] = None,
    clap: Annotated[
        str, typer.Option(help="The CLAP model that the datastore was built with.")
    ] = "tag-bridge",
    seed: Annotated[int, typer.Option(help="Of the similar captions drawn.")] = 0,
) -> None:
    """Write a prepared subset in the form that the authors' code reads.

    Similar captions are drawn as in training, or for inference retrieved by the
    recording; without a datastore `similar_captions` is an empty list.
    """
    from drcap.data import authors_jsonl
    from drcap.data.prepared import read_prepared
    from drcap.errors import DatasetError

    clips = read_prepared(prepared)
    if purpose is Purpose.inference:
        here = [clip for clip in clips if clip.path is not None]
        similar = _retrieved(here, datastore, clap) if datastore and here else None
        records = authors_jsonl.inference_records(clips, similar)
    else:
        captions = [caption for clip in clips for caption in clip.captions]
        similar = _drawn(captions, datastore, clap, seed) if datastore else None
        records = authors_jsonl.training_records(clips, similar)
    if not records:
        raise DatasetError(
            f"{prepared}: no clip has a recording; prepare it with its audio"
        )
    print(f"{output}: {authors_jsonl.write_authors_jsonl(output, records)} lines")


@app.command("import")
def import_authors(
    authors_file: JsonLines,
    output: Annotated[Path, typer.Option(metavar="FILE", help="The file to write.")],
    subset: Annotated[
        str | None, typer.Option(help="Its name.", show_default="the file's")
    ] = None,
) -> None:
    """Turn a file of the authors into a prepared subset.

    Their similar captions are not carried over: training draws its own.
    """
    from drcap.data.authors_jsonl import read_authors_jsonl, to_clips
    from drcap.data.prepared import write_prepared
    from drcap.errors import DatasetError

    records = read_authors_jsonl(authors_file)
    clips = to_clips(records, subset or authors_file.stem)
    if not clips:
        raise DatasetError(
            f"{authors_file}: every 'target' is empty; nothing to import"
        )
    write_prepared(output, clips)
    captions = sum(len(clip.captions) for clip in clips)
    empty = len(records) - captions
    print(f"{output}: {len(clips)} clips, {captions} captions, {empty} lines empty")


def _retrieved(clips: "list[Clip]", folder: Path, clap_name: str) -> list[list[str]]:
    """Return the three captions nearest to each clip's recording (eq. 3)."""
    from drcap.clap import load_clap
    from drcap.clap.batches import encode_recordings
    from drcap.config import RetrievalConfig
    from drcap.retrieval import CaptionDatastore

    clap = load_clap(clap_name)
    datastore = CaptionDatastore.load(folder, clap)
    audio = encode_recordings([clip.path for clip in clips], clap)
    found = datastore.search(audio, RetrievalConfig().top_k)
    return [[match.caption for match in matches] for matches in found]


def _drawn(
    captions: list[str], folder: Path, clap_name: str, seed: int
) -> list[list[str]]:
    """Return up to three similar captions of each caption, none of them its own."""
    from drcap.clap import load_clap
    from drcap.config import RetrievalConfig
    from drcap.retrieval import CaptionDatastore
    from drcap.retrieval.similarity_selection import select_similar

    clap, band = load_clap(clap_name), RetrievalConfig()
    datastore = CaptionDatastore.load(folder, clap)
    own = CaptionDatastore.build(captions, clap)  # encodes in batches, repeats once
    queries = own.rows(own.own_rows(captions, len(captions)))
    found = select_similar(
        queries,
        datastore,
        k=band.top_k,
        sim_min=band.sim_min,
        sim_max=band.sim_max,
        seed=seed,
        own_captions=captions,
    )
    return [[match.caption for match in matches] for matches in found]


def _sources_page(name: str) -> str:
    from tabulate import tabulate

    from drcap.data.sources import source_of

    source = source_of(name)
    rows = [dataclasses.asdict(download) for download in source.downloads]
    table = tabulate(
        rows, headers={"what": "download", "url": "from", "into": "into --root's"}
    )
    fetched = "\nOr let `drcap data prepare --download` fetch it." * bool(
        source.fetched
    )
    return f"{source.title}. Licence: {source.licence}.\n\n{table}\n{fetched}".rstrip()


def _summary(found: "Preparation") -> dict:
    return {**dataclasses.asdict(found), "folder": str(found.folder)}


def _page(name: str, found: "Preparation") -> str:
    from tabulate import tabulate

    rows = [dataclasses.asdict(each) for each in found.subsets]
    table = tabulate(
        rows,
        headers={each: each for each in rows[0]},
        missingval="-",
        intfmt=",",
    )
    lines = [table, "", f"Written to {found.folder}: <subset>.jsonl, and lists of"]
    lines[-1] += " the missing and the unreadable clips."
    if found.absent:
        lines.append(
            f"Not here: {', '.join(found.absent)} (`drcap data sources {name}`)"
        )
    return "\n".join(lines)
