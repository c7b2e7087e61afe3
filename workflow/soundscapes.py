"""Build a profile's procedural corpora, unless they are there.

    python -m workflow.soundscapes --profile demo

Prints their folder. A build that is cut short goes on where it was.
"""

from pathlib import Path
from typing import Annotated

import typer

from drcap.config import soundscapes_profile
from drcap.data.soundscapes.corpora import build


def main(
    profile: Annotated[str, typer.Option(help="smoke, demo or paper")] = "demo",
    folder: Annotated[Path | None, typer.Option(help="by default in the cache")] = None,
    processes: Annotated[int | None, typer.Option(help="by default all cores")] = None,
) -> None:
    """Build the corpora of a profile and say where they are."""
    typer.echo(build(soundscapes_profile(profile), folder, processes=processes))


if __name__ == "__main__":
    typer.run(main)
