"""Make a profile's corpora ready: build the procedural ones, find the real ones.

    python -m workflow.corpora --profile demo

Prints their folder. A build that is cut short goes on where it was.
"""

from typing import Annotated

import typer

from drcap.data.corpora import corpora
from drcap.errors import DRCapError


def main(
    profile: Annotated[str, typer.Option(help="as demo, demo-real or paper")] = "demo",
) -> None:
    """Build or find the corpora of a profile, count them and say where they are."""
    try:
        found = corpora(profile)
        typer.echo(found.sizes().to_string(index=False), err=True)
    except DRCapError as error:
        typer.echo(f"drcap: {error}", err=True)
        raise typer.Exit(2) from None
    typer.echo(found.root)


if __name__ == "__main__":
    typer.run(main)
