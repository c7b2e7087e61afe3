"""The steps of the grid of experiments, as the run graph calls them.

    python -m workflow.experiments caption drcap_ac_to_cl_seed_0 \
        --train drcap_ac_to_ac_seed_0 --profile demo

Each leaves what it makes in the cache folder or below reports/<profile>/; a training
that has been done is not done again, and a killed one goes on where it was.
"""

from pathlib import Path
from typing import Annotated

import typer

from drcap import paths
from drcap.experiments import scoring
from drcap.experiments.grid import DOMAINS, Experiment, named
from drcap.experiments.materials import Materials
from drcap.experiments.prediction import load_captioner, similar_captions
from drcap.files import write_json
from drcap.messages import hush

app = typer.Typer(no_args_is_help=True, add_completion=False)
Profile = Annotated[str, typer.Option(help="smoke, demo or paper")]
Name = Annotated[str, typer.Argument(help="as drcap_ac_to_cl_wo_pd_seed_0")]
Done = Annotated[Path, typer.Option(help="where to say what was made")]


@app.command()
def embed(system: str, done: Done, profile: Profile = "demo") -> None:
    """Embed captions and clips with a system's CLAP model; retrieve for the clips."""
    hush()
    materials = Materials(profile)
    for domain in DOMAINS:
        for subset in ("val", "test"):
            experiment = Experiment(domain, domain, system)
            similar_captions(experiment, materials, materials.clips(domain, subset))
    space = materials.space(system)
    facts = {"encoder": space.clap.fingerprint, "captions": len(space.datastore)}
    write_json(done, facts)


@app.command()
def caption(
    names: Annotated[list[str] | None, typer.Argument(help="of experiments")] = None,
    train: Annotated[list[str] | None, typer.Option(help="of trainings")] = None,
    profile: Profile = "demo",
    reports: Annotated[Path, typer.Option(help="where reports go")] = paths.REPORTS,
) -> None:
    """Train captioners, and caption the test clips of experiments that use them."""
    hush()
    materials = Materials(profile)
    experiments = [named(name) for name in names or ()]
    for training in map(named, train or ()):
        captioner = load_captioner(training, materials)
        for each in experiments:
            if each.training == training:
                scoring.write_predictions(each, materials, reports / profile, captioner)


@app.command()
def score(
    names: Annotated[list[str], typer.Argument(help="of the experiments")],
    profile: Profile = "demo",
    reports: Annotated[Path, typer.Option(help="where reports go")] = paths.REPORTS,
) -> None:
    """Score the captions of experiments, all in one process."""
    hush()
    experiments = [named(name) for name in names]
    scoring.write_scores(experiments, Materials(profile), reports / profile)


if __name__ == "__main__":
    app()
