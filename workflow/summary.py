"""One page of everything a profile produced: its runs, then its tables and figures.

python -m workflow summary reports/demo
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from drcap.atomic import write_text
from drcap.experiments.grid import PAPER_TABLES
from drcap.experiments.grid import TABLES as RESULT_TABLES
from workflow.graph import NOTEBOOKS

CLAIMS = "[The paper's claims](tables/claims.md), each with its test and verdict."


def summarise(reports: Path) -> str:
    """Return the Markdown page of a profile's reports folder, `reports/<profile>`."""
    runs = {name: _run(reports, name) for name in NOTEBOOKS}
    first = _run(reports, next(iter(RESULT_TABLES)))
    seeds = " ".join(map(str, first["seeds"]))
    command = f'make reproduce PROFILE={first["profile"]} SEEDS="{seeds}"'
    parts = [f"# Results of `{command}`", CLAIMS]
    for name, table in RESULT_TABLES.items():
        text = (reports / "tables" / f"{name}.md").read_text(encoding="utf-8")
        printed = f"Table {table.number}: " if name in PAPER_TABLES else ""
        parts += [f"## {printed}{table.title}", text.strip()]
    parts += ["## Notebooks", _runs_table(runs)]
    for name in NOTEBOOKS:
        parts.append(f"## {name}")
        tables, figures = (names.split() for names in NOTEBOOKS[name])
        parts += [_table(reports, table) for table in tables if table != "claims"]
        parts += [f"![{figure}](figures/{figure}.png)" for figure in figures]
    return "\n\n".join(parts) + "\n"


def _run(reports: Path, name: str) -> dict:
    path = reports / "runs" / name / "run.json"
    return json.loads(path.read_text(encoding="utf-8"))


def _runs_table(runs: dict[str, dict]) -> str:
    from tabulate import tabulate

    rows = [
        {
            "notebook": name,
            "seed": run["seed"],
            "minutes": f"{run['seconds'] / 60:.1f}",
            "training": _training(run["config"]["training"]),
            "machine": _machine(run["machine"]),
            "torch": run["packages"]["torch"],
            "commit": _commit(run["git"]),
        }
        for name, run in runs.items()
    ]
    return tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True)


def _training(settings: dict) -> str:
    """Return how long a run's configuration trains, in its own unit."""
    unit = "steps" if "steps" in settings else "epochs"
    return f"{settings[unit]:,} {unit}"


def _machine(machine: dict) -> str:
    accelerators = ", ".join(machine["accelerators"])
    return f"{machine['cpu']}, {machine['cores']} cores" + (
        f", {accelerators}" if accelerators else ""
    )


def _commit(git: dict | None) -> str:
    if git is None:
        return "unknown"
    return git["commit"][:10] + (" with changes" if git["changed"] else "")


def _table(reports: Path, name: str) -> str:
    text = (reports / "tables" / f"{name}.md").read_text(encoding="utf-8")
    return f"### {name.replace('_', ' ').capitalize()}\n\n{text.strip()}"


def summary(
    reports: Annotated[Path, typer.Argument(help="A profile's reports folder.")],
) -> None:
    """Write summary.md into a profile's reports folder."""
    write_text(reports / "summary.md", summarise(reports))
