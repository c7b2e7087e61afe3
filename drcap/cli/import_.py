"""`drcap import`: models that other code trained, as folders that `drcap` loads."""

from pathlib import Path
from typing import Annotated

import typer

from drcap.cli import options

app = typer.Typer(
    help="Take over models that other code trained.", no_args_is_help=True
)

CHECKPOINT = {"metavar": "FILE", "show_default": False}


@app.command()
def authors(
    clap: Annotated[
        Path, typer.Option(help="Their CLAP, best_model.pt.", **CHECKPOINT)
    ],
    mapper: Annotated[Path, typer.Option(help="Their model.pt.", **CHECKPOINT)],
    support: Annotated[
        Path, typer.Option(help="Their text embedding support.", **CHECKPOINT)
    ],
    output: Annotated[Path, typer.Option(metavar="DIR", help="The folder to write.")],
    lora: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Their adapter's folder, if model.pt holds no adapter."
        ),
    ] = None,
    captions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Captions to retrieve from, encoded now.",
            show_default="AudioCaps' training captions, encoded when first needed",
        ),
    ] = None,
    language_model: Annotated[
        str, typer.Option(help="The adapter's: an asset, a folder or a hub id.")
    ] = "lmsys/vicuna-7b-v1.5",
    tokenizer: Annotated[
        str, typer.Option(help="The CLAP's: an asset, a folder or a hub id.")
    ] = "roberta-base",
    device: options.Device = "auto",
) -> None:
    """Write the authors' released model as a folder for `drcap caption --checkpoint`.

    It holds all but the language model, about 0.9 GB: CLAP 0.62, mapper 0.04,
    adapter 0.02, and the support, 0.20 of AudioCaps' captions. Nothing is written
    unless every tensor of every file is accounted for.
    """
    from drcap.captioner.authors import check_output, read_released, write_model
    from drcap.clap.authors import load_authors
    from drcap.data.captions import read_captions
    from drcap.messages import hush

    hush()
    check_output(output)
    texts = read_captions(captions) if captions else None
    released = read_released(mapper, support, lora, language_model)
    model = load_authors(clap, tokenizer=tokenizer, device=device)
    write_model(output, released, model, texts)
    size = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    typer.echo(f"{output}: {size / 1e6:.1f} MB, to be used with {language_model}")
