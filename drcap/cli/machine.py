"""`drcap doctor` and `drcap assets`: what this machine has, and what it can fetch."""

import json
from pathlib import Path

import typer

from drcap.cli import options
from drcap.cli.options import argument, option

app = typer.Typer(
    help="Third-party weights and data: fetch, list, verify.", no_args_is_help=True
)
DEFAULT = "All that are not optional; `metrics` names the optional ones."
Names = argument(list[str] | None, "NAME", DEFAULT)


@app.command()
def fetch(
    names: Names = None,
    from_dir: option(Path | None, "Take the files from this folder.", "--from") = None,
    force: option(bool, "Fetch again what is already there.", "--force") = False,
) -> None:
    """Fetch what is missing, checked against its pinned SHA-256."""
    from drcap import assets, paths

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
    from tabulate import tabulate

    from drcap import assets

    shown = ("name", "bytes", "licence", "source", "hub", "group")
    rows = [
        {name: getattr(asset, name) for name in shown}
        | {"present": assets.problem(asset) is None}
        for asset in assets.pinned(optional=True).values()
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    for row in rows:
        row["bytes"] = f"{row['bytes'] / 1e6:.1f} MB"
        row["present"] = "yes" if row["present"] else "no"
    print(tabulate(rows, headers={"bytes": "size"}, disable_numparse=True))


@app.command()
def verify(names: Names = None) -> None:
    """Hash every file; exit code 2 if any asset is damaged or missing."""
    from drcap import assets
    from drcap.errors import AssetError

    checked = assets.verify(names)
    for name, problems in checked.items():
        print(f"{name}: {'; '.join(problems) or 'intact'}")
    bad = [name for name, problems in checked.items() if problems]
    if bad:
        raise AssetError(
            f"{len(bad)} of {len(checked)} assets are damaged or missing: "
            f"run `drcap assets fetch --force {' '.join(bad)}`"
        )


def doctor(
    as_json: options.AsJson = False,
    profile: option(str | None, "Estimate its jobs' hours, memory and disk.") = None,
) -> None:
    """Show versions, devices, disk, Java, assets, and what each profile needs."""
    from drcap.doctor import collect, disk_facts

    if profile is None:
        facts = collect()
        print(json.dumps(facts, indent=2) if as_json else "\n".join(_lines(facts)))
        return
    from drcap.estimate import profile_report

    report = profile_report(profile) | {"disk": disk_facts()}
    print(json.dumps(report, indent=2) if as_json else _estimates(report))


def _lines(facts: dict) -> list[str]:
    rows = [
        ("python", facts["python"]),
        *((name, version or "missing") for name, version in facts["packages"].items()),
        ("processor", _processor(facts["processor"])),
        ("gpu", facts["driver"] or "; ".join(map(_gpu, facts["gpus"])) or "none"),
        ("memory", "{total_gib} GiB, {available_gib} free".format(**facts["memory"])),
        ("disk", "{free_gib} GiB free at {home}".format(**facts["disk"])),
        (
            "java",
            facts["java"]["problem"] or "{version} ({path})".format(**facts["java"]),
        ),
        *((f"asset {name}", _asset(state)) for name, state in facts["assets"].items()),
        *((f"profile {name}", _needs(of)) for name, of in facts["profiles"].items()),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {fact}" for name, fact in rows]


def _processor(facts: dict) -> str:
    precision = "bfloat16" if facts["bfloat16"] else "float32"
    return f"{facts['name']}, {facts['cores']} cores, fastest in {precision}"


def _gpu(facts: dict) -> str:
    precision = "bfloat16" if facts["bfloat16"] else "no bfloat16"
    return f"{facts['name']}, {facts['memory_gib']} GiB, {precision}"


def _asset(state: dict) -> str:
    if state["problem"] is None:
        return "present"
    return f"{state['problem']}: run `{state['remedy']}`"


def _needs(needs: dict) -> str:
    gpu = f", a GPU of {needs['gpu_memory_gib']} GiB" * bool(needs["gpu_memory_gib"])
    total = f"{needs['disk_gib']} GiB disk, {needs['memory_gib']} GiB memory{gpu}"
    state = f"lacks {', '.join(needs['lacks'])}" if needs["lacks"] else "ready"
    return f"{state} (needs {total}; {needs['time']})"


def _estimates(report: dict) -> str:
    from tabulate import tabulate

    machines = [machine["name"] for machine in report["machines"]]
    rows = [
        (job["job"], f"{job['disk_gib']:.2f}", *map(_estimate, job["on"]))
        for job in report["jobs"]
    ]
    total = map(_hours, report["hours"])
    rows.append(("all, notebooks apart", f"{report['disk_gib']:.2f}", *total))
    free = report["disk"]["free_gib"]
    enough = free >= report["disk_gib"]
    verdict = "enough" if enough else "set DRCAP_HOME to where there is more"
    return "\n".join(
        [
            tabulate(rows, ["job", "disk, GiB", *machines], disable_numparse=True),
            f"disk: {report['disk_gib']:.1f} GiB in all, {free} GiB free: {verdict}",
            "Rough estimates: memory of one card in GiB, time. Where captioners do not "
            "fit, see `drcap train captioner --help`.",
        ]
    )


def _estimate(job: dict) -> str:
    if not job["fits"]:
        return f"does not fit: {job['memory_gib']:.1f} GiB"
    memory = f"{job['memory_gib']:.1f} GiB, " if job["memory_gib"] else ""
    return memory + _hours(job["hours"])


def _hours(hours: float | None) -> str:
    if not hours:
        return "-"
    return f"{hours:.1f} h" if hours >= 0.1 else f"{60 * hours:.1f} min"
