"""Write one of the paper's tables from the scores, and how it came about.

python -m workflow.table table3_ablation_in_domain --seeds 0 --profile demo
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from drcap import paths
from drcap.config import recipe
from drcap.data.corpora import kind_of
from drcap.experiments import results, tables
from drcap.experiments.grid import TABLES
from drcap.files import write_json
from drcap.runs.provenance import run_record


def main(
    name: Annotated[str, typer.Argument(help="as table3_ablation_in_domain")],
    seeds: Annotated[list[int], typer.Option(help="that its numbers are means of")],
    profile: Annotated[str, typer.Option(help="as demo or paper")] = "demo",
    reports: Annotated[Path, typer.Option(help="where reports go")] = paths.REPORTS,
) -> None:
    """Read the scores and write the table as CSV, Markdown and LaTeX, and run.json."""
    started = time.time()
    folder = reports / profile
    found = results.read_scores(TABLES[name].experiments(seeds), folder)
    domains = kind_of(profile).names
    tables.save(name, found, folder / "tables", domains=domains)
    record = run_record(
        started=started,
        seed=seeds[0],
        config=recipe(profile),
        inputs=results.run_files(found, folder),
        profile=profile,
        seeds=seeds,
    )
    write_json(folder / "runs" / name / "run.json", record)


if __name__ == "__main__":
    typer.run(main)
