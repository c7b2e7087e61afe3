"""`drcap import authors`, `drcap data export` and `import`: the authors' formats."""

from enum import StrEnum
from pathlib import Path

import typer

from drcap.cli import options
from drcap.cli.options import CAPTIONS, argument, option

app = typer.Typer(
    help="Take over models that other code trained.", no_args_is_help=True
)


class Purpose(StrEnum):
    """What the authors' code is to do with an exported file."""

    training = "training"
    inference = "inference"


TRAINING = Purpose.training
VICUNA = "lmsys/vicuna-7b-v1.5"


@app.callback()
def group() -> None:
    """Keep `authors` a subcommand although it is the only one."""


@app.command("authors")
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
    from drcap.environment import hush

    hush()
    options.writable(output.absolute().parent)
    models = {"language_model": language_model, "tokenizer": tokenizer}
    files = {"lora": lora, "captions": captions, "device": device}
    size = import_model(clap, mapper, support, output, **models, **files)
    print(f"{output}: {size / 1e6:.1f} MB, to be used with {language_model}")


def export_clips(
    prepared: argument(Path, "FILE.jsonl", "A prepared subset."),
    output: option(Path, "The file to write."),
    purpose: option(Purpose, "A line a caption, or a recording.", "--for") = TRAINING,
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
    inference = purpose is Purpose.inference
    lines = jsonl.export_clips(prepared, output, inference=inference, **given)
    print(f"{output}: {lines} lines")


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
