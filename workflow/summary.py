"""One page of everything a profile produced: its runs, then its tables and figures.

python -m workflow summary reports/demo
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from tabulate import tabulate

from drcap import paths
from drcap.atomic import write_text
from drcap.experiments.grid import PAPER_TABLES
from drcap.experiments.grid import TABLES as RESULT_TABLES
from drcap.record import read_records
from workflow.costs import write_costs
from workflow.graph import NOTEBOOKS, outputs

POINTERS = (
    "[The paper's claims](tables/claims.md), each with its test and verdict. "
    "[What it takes](costs.md)."
)


def summarise(reports: Path) -> str:
    """Return the Markdown page of a profile's reports folder, `reports/<profile>`."""
    records = read_records(reports, "tables")
    first = records[next(iter(RESULT_TABLES))]
    seeds = " ".join(map(str, first["seeds"]))
    command = f'make reproduce PROFILE={first["profile"]} SEEDS="{seeds}"'
    parts = [f"# Results of `{command}`", POINTERS]
    if len(_counts_of_seeds(reports)) > 1:
        parts.append("Not every row has all seeds yet: the column *seeds* counts them.")
    for name, table in RESULT_TABLES.items():
        printed = f"Table {table.number}: " if name in PAPER_TABLES else ""
        parts += [f"## {printed}{table.title}", _text(reports, f"tables/{name}.md")]
    parts += ["## Notebooks", _runs_table(read_records(reports, "notebooks"))]
    for name in NOTEBOOKS:
        parts.append(f"## {name}")
        for file in outputs(name):
            stem = Path(file).stem
            if file.endswith(".png"):
                parts.append(f"![{stem}]({file})")
            elif file.endswith(".md") and stem != "claims":
                title = stem.replace("_", " ").capitalize()
                parts += [f"### {title}", _text(reports, file)]
    return "\n\n".join(parts) + "\n"


def _text(reports: Path, file: str) -> str:
    return (reports / file).read_text(encoding="utf-8").strip()


def _counts_of_seeds(reports: Path) -> set[int]:
    """Return how many seeds the rows of the tables are means of."""
    tables = [pd.read_csv(reports / f"tables/{name}.csv") for name in RESULT_TABLES]
    return {*pd.concat(tables)["seeds"]} - {0}


def _runs_table(runs: dict[str, dict]) -> str:
    rows = []
    for name, run in sorted(runs.items()):
        settings, machine, git = run["config"]["training"], run["machine"], run["git"]
        unit = "steps" if "steps" in settings else "epochs"
        parts = [machine["cpu"], f"{machine['cores']} cores", *machine["accelerators"]]
        changes = " with changes" if git and git["changed"] else ""
        rows.append(
            {
                "notebook": name,
                "seed": run["seed"],
                "minutes": f"{run['seconds'] / 60:.1f}",
                "training": f"{settings[unit]:,} {unit}",
                "machine": ", ".join(parts),
                "torch": run["packages"]["torch"],
                "commit": f"{git['commit'][:10]}{changes}" if git else "unknown",
            }
        )
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def summary(
    reports: Annotated[Path, typer.Argument(help="A profile's reports folder.")],
) -> None:
    """Write summary.md and costs.md into a profile's reports folder."""
    write_costs(reports, paths.made(reports.name))
    write_text(reports / "summary.md", summarise(reports))
