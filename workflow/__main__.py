"""The steps that the run graph alone needs: python -m workflow COMMAND."""

import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from drcap import config, paths
from drcap.atomic import write_json
from drcap.cli.options import Profile, Seed
from drcap.environment import hush, set_thread_policy
from drcap.errors import DRCapError

app = typer.Typer(
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
MODULES = {  # command -> its module, imported when it is called
    **dict.fromkeys(("notebook", "publish"), "notebooks"),
    **dict.fromkeys(("ablations", "zero-shot"), "real"),
    "labelled": "labelled",
    "bands": "bands",
    "summary": "summary",
    "readme": "readme",
}
Done = Annotated[Path, typer.Argument(help="File that says what was made.")]


@app.command()
def corpora(profile: Profile = "demo") -> None:
    """Build or find the corpora of a profile; count them, print their folder.

    Resumes after a kill.
    """
    from drcap.data.corpora import corpora

    data = corpora(profile)
    print(data.sizes().to_string(index=False), file=sys.stderr)
    print(data.root)


@app.command()
def datastore(done: Done, profile: Profile = "demo", seed: Seed = 0) -> None:
    """Build a profile's datastore of AudioCaps' training captions."""
    from drcap.load import load_clap
    from drcap.retrieval.default import default_datastore

    hush()
    settings = config.profile(profile)
    clap = load_clap(settings.clap)
    made = default_datastore(clap, settings.captions, seed)
    write_json(done, {"encoder": clap.fingerprint, "captions": len(made)})


@app.command()
def space(system: str, done: Done, profile: Profile = "demo") -> None:
    """Embed captions and clips with a system's CLAP model; retrieve for the clips."""
    from drcap.experiments.grid import DOMAINS, Experiment
    from drcap.experiments.materials import Materials
    from drcap.experiments.run import similar_captions

    hush()
    materials = Materials(profile)
    for domain in DOMAINS:
        experiment = Experiment(domain, domain, system)
        for subset in ("val", "test"):
            similar_captions(experiment, materials, materials.clips(domain, subset))
    joint = materials.space(system)
    facts = {"encoder": joint.clap.fingerprint, "captions": len(joint.datastore)}
    write_json(done, facts)


@app.command()
def scores(
    names: list[str], profile: Profile = "demo", reports: Path = paths.REPORTS
) -> None:
    """Score captions anew, in one process; put both into the table of results."""
    from drcap.experiments import run
    from drcap.experiments.grid import named
    from drcap.experiments.materials import Materials

    hush()
    run.write_scores([*map(named, names)], Materials(profile), reports / profile)


@app.command()
def table(
    name: str,
    seeds: Annotated[list[int], typer.Option(help="That the numbers are means of.")],
    profile: Profile = "demo",
    reports: Path = paths.REPORTS,
) -> None:
    """Write a table of the paper from the scores: CSV, Markdown and its record."""
    from drcap.data.corpora import kind_of
    from drcap.experiments import results, tables
    from drcap.experiments.grid import TABLES
    from drcap.record import keep_records, run_record

    started, folder = time.time(), reports / profile
    scored = results.read_scores(TABLES[name].experiments(seeds), folder)
    tables.save(name, scored, folder / "tables", domains=kind_of(profile).names)
    record = run_record(
        started=started,
        seed=seeds[0],
        config=config.recipe(profile),
        inputs=[folder / results.TABLE],
        profile=profile,
        seeds=seeds,
    )
    keep_records(folder, "tables", {name: record})


def main() -> None:
    """Run a step; an error that a user can mend is one line and exit code 2."""
    set_thread_policy()
    for name in MODULES if {*sys.argv[1:2]} <= {"--help"} else sys.argv[1:2]:
        if name in MODULES:
            module = import_module(f"workflow.{MODULES[name]}")
            app.command(name)(getattr(module, name.replace("-", "_")))
    try:
        app()
    except (DRCapError, OSError) as error:
        print(f"drcap: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
