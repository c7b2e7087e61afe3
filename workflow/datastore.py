"""Build a profile's datastore of AudioCaps' training captions, unless it is there.

    python -m workflow.datastore ready.json --profile demo

Writes what was built, for the run graph: the encoder's fingerprint and the captions.
"""

from pathlib import Path
from typing import Annotated

import typer

from drcap import config
from drcap.clap import load_clap
from drcap.files import write_json
from drcap.messages import hush
from drcap.retrieval.default import default_datastore


def main(
    target: Annotated[Path, typer.Argument(help="Where to say what was built.")],
    profile: Annotated[str, typer.Option(help="smoke, demo or paper")] = "demo",
    seed: Annotated[int, typer.Option(help="of the sample, in smoke")] = 0,
) -> None:
    """Build the profile's default datastore and say what it holds."""
    hush()
    settings = config.profile(profile)
    clap = load_clap(settings.clap)
    datastore = default_datastore(clap, settings.captions, seed)
    write_json(target, {"encoder": clap.fingerprint, "captions": len(datastore)})


if __name__ == "__main__":
    typer.run(main)
