"""`drcap assets`: fetch, list and verify the pinned third-party weights and data."""

import json
from pathlib import Path
from typing import Annotated

import typer

from drcap import assets, paths
from drcap.cli import options
from drcap.errors import AssetError

app = typer.Typer(
    help="Third-party weights and data: fetch, list, verify.", no_args_is_help=True
)
Names = Annotated[
    list[str] | None,
    typer.Argument(
        help="Assets, or the group `metrics` of optional ones; "
        "without any, all that are not optional."
    ),
]


@app.command()
def fetch(
    names: Names = None,
    from_dir: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FOLDER", help="Take the files from here instead."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Fetch again what is already there.")
    ] = False,
) -> None:
    """Fetch what is missing, checked against its pinned SHA-256."""
    fetched = assets.fetch(names, from_dir=from_dir, force=force)
    for name in fetched:
        print(f"{name}: {paths.assets() / name}")
    if not fetched:
        print(f"nothing to fetch: all present in {paths.assets()}")


@app.command("list")
def list_assets(as_json: options.AsJson = False) -> None:
    """List every asset: size, licence, whether it is present, where it comes from.

    The optional ones name their group.
    """
    rows = [_row(asset) for asset in assets.pinned(optional=True).values()]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    from tabulate import tabulate

    for row in rows:
        row["bytes"] = f"{row['bytes'] / 1e6:.1f} MB"
        row["present"] = "yes" if row["present"] else "no"
    print(tabulate(rows, headers={"bytes": "size"}, disable_numparse=True))


@app.command()
def verify(names: Names = None) -> None:
    """Hash every file; exit code 2 if any asset is damaged or missing."""
    found = assets.verify(names)
    for name, problems in found.items():
        print(f"{name}: {'; '.join(problems) or 'intact'}")
    bad = [name for name, problems in found.items() if problems]
    if bad:
        raise AssetError(
            f"{len(bad)} of {len(found)} assets are damaged or missing: "
            f"run `drcap assets fetch --force {' '.join(bad)}`"
        )


def _row(asset: assets.Asset) -> dict:
    return {
        "name": asset.name,
        "bytes": asset.bytes,
        "licence": asset.licence,
        "present": assets.problem(asset) is None,
        "source": asset.source,
        "hub": asset.hub,
        "group": asset.group,
    }
