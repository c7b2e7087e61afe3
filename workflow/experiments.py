"""The steps of the grid of experiments, as the run graph calls them.

    python -m workflow.experiments train drcap_ac_to_ac_seed_0 --profile demo

Each leaves what it makes in the cache folder or in reports/<profile>/runs/, does nothing
that has been done, and goes on where a killed one was.
"""

from pathlib import Path
from typing import Annotated

import typer

from drcap import paths
from drcap.experiments import scoring
from drcap.experiments.grid import DOMAINS, Experiment, named
from drcap.experiments.materials import Materials
from drcap.experiments.prediction import similar_captions
from drcap.experiments.training import configuration, trained
from drcap.files import write_json
from drcap.messages import hush

app = typer.Typer(no_args_is_help=True, add_completion=False)
Profile = Annotated[str, typer.Option(help="smoke, demo or paper")]
Seed = Annotated[int, typer.Option(help="of the CLAP models")]
Name = Annotated[str, typer.Argument(help="as drcap_ac_to_cl_wo_pd_seed_0")]
Done = Annotated[Path, typer.Option(help="where to say what was made")]


@app.command()
def embed(system: str, done: Done, profile: Profile = "demo", seed: Seed = 0) -> None:
    """Embed captions and clips with a system's CLAP model; retrieve for the clips."""
    hush()
    materials = Materials(profile, seed=seed)
    for domain in DOMAINS:
        for subset in ("val", "test"):
            experiment = Experiment(domain, domain, system)
            similar_captions(experiment, materials, materials.clips(domain, subset))
    space = materials.space(system)
    facts = {"encoder": space.clap.fingerprint, "captions": len(space.datastore)}
    write_json(done, facts)


@app.command()
def train(name: Name, done: Done, profile: Profile = "demo", seed: Seed = 0) -> None:
    """Train the captioner that an experiment uses."""
    hush()
    materials = Materials(profile, seed=seed)
    run = trained(named(name), materials)
    best = run.log.validation_loss.min()
    write_json(done, {"run": run.folder.name, "validation_loss": best})


@app.command()
def predict(
    name: Name,
    profile: Profile = "demo",
    seed: Seed = 0,
    reports: Annotated[Path, typer.Option(help="where reports go")] = paths.REPORTS,
) -> None:
    """Caption the test clips of an experiment."""
    hush()
    materials = Materials(profile, seed=seed)
    scoring.write_predictions(named(name), materials, reports / profile)


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
