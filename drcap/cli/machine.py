"""`drcap doctor` and `drcap assets`: what this machine has, and what it can fetch."""

import json
from pathlib import Path

import typer

from drcap.cli import options
from drcap.cli.options import argument, option

app = typer.Typer(
    help="Third-party weights and data: fetch, list.", no_args_is_help=True
)
NAMES = "Assets or groups of optional ones, as `spice`; none: all not optional."


@app.command()
def fetch(
    names: argument(list[str] | None, "NAME", NAMES) = None,
    from_dir: option(Path | None, "Take the files from this folder.", "--from") = None,
    force: option(bool, "Fetch again what is already there.", "--force") = False,
) -> None:
    """Fetch what is missing or damaged, checked against its pinned SHA-256.

    Then the captions that `drcap caption` retrieves from are encoded, some minutes on
    two cores, unless names are given.
    """
    from drcap import assets, paths

    fetched = assets.fetch(names, from_dir=from_dir, force=force)
    for name in fetched:
        print(f"{name}: {paths.assets() / name}")
    if not fetched:
        print(f"nothing to fetch: all present in {paths.assets()}")
    elif not names:
        print(f"captions encoded: {_default_datastore()}")


def _default_datastore() -> int:
    """Encode the shipped captioner's datastore unless it is kept; return its size."""
    from drcap.captioner.model import read_config
    from drcap.load import load_clap
    from drcap.retrieval.default import default_datastore
    from drcap.systems.drcap import SHIPPED

    config = read_config(SHIPPED)
    clap = load_clap(config.clap)
    return len(default_datastore(clap, config.captions, config.seed))


@app.command("list")
def list_assets(as_json: options.AsJson = False) -> None:
    """List every asset: size, licence, whether it is present, where it comes from.

    The optional ones name their group.
    """
    from tabulate import tabulate

    from drcap import assets

    shown = ("name", "bytes", "licence", "source", "hub", "group")
    rows = [
        {name: getattr(asset, name) for name in shown}
        | {"present": assets.problem(asset) is None}
        for asset in assets.pinned().values()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        row["bytes"] = f"{row['bytes'] / 1e6:.1f} MB"
        row["present"] = "yes" if row["present"] else "no"
    print(tabulate(rows, headers={"bytes": "size"}, disable_numparse=True))


def doctor(
    as_json: options.AsJson = False,
    profile: option(str | None, "Estimate its jobs' hours, memory and disk.") = None,
) -> None:
    """Show versions, devices, disk, Java and assets, or what a profile needs."""
    import yaml
    from tabulate import tabulate

    from drcap.doctor import collect, disk_facts

    if profile is None:
        facts, layout = collect(), {"sort_keys": False, "width": 1_000}
        page = json.dumps(facts, indent=2) if as_json else yaml.dump(facts, **layout)
        print(page.rstrip())
        return
    from drcap.estimate import profile_table

    table, disk = profile_table(profile), disk_facts()
    if as_json:
        # pandas writes NaN as null
        jobs = json.loads(table.reset_index().to_json(orient="records"))
        print(json.dumps({"profile": profile, "jobs": jobs, "disk": disk}, indent=2))
        return
    headers = ["job", "disk, GiB", "memory, GiB"]
    headers += [f"hours, {machine}" for machine in table.columns[2:]]
    cells = table.astype(object).where(table.notna(), None)
    print(tabulate(cells, headers, floatfmt=",.2f", missingval="does not fit"))
    needed, free = table["disk_gib"].iloc[-1], disk["free_gib"]
    verdict = "enough" if free >= needed else "set DRCAP_HOME to where there is more"
    print(
        f"disk: {needed:.1f} GiB in all, {free} GiB free: {verdict}\n"
        "Rough estimates; memory is that of one card. Where captioners do not fit, see "
        "`drcap train captioner --help`."
    )
