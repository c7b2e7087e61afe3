"""`drcap doctor`: what is installed, fetched and available, and what is lacking.

With `--profile` also what each job of that profile takes, before any of them starts.
"""

import json
from typing import Annotated

import typer

from drcap.cli import options

Profile = Annotated[
    str | None,
    typer.Option(help="smoke, demo or paper: estimate its jobs' time, memory, disk."),
]


def doctor(as_json: options.AsJson = False, profile: Profile = None) -> None:
    """Show versions, devices, disk, Java, assets, and what each profile needs."""
    from drcap.doctor import collect

    if profile is not None:
        _estimate(profile, as_json)
        return
    facts = collect()
    print(json.dumps(facts, indent=2) if as_json else "\n".join(_lines(facts)))


def _estimate(profile: str, as_json: bool) -> None:
    from tabulate import tabulate

    from drcap.doctor import disk_facts
    from drcap.estimate import profile_report

    report = profile_report(profile) | {"disk": disk_facts()}
    if as_json:
        print(json.dumps(report, indent=2))
        return
    machines = [each["name"] for each in report["machines"]]
    rows = [
        (of["job"], f"{of['disk_gib']:.2f}", *(map(_estimated, of["on"])))
        for of in report["jobs"]
    ]
    whole = map(_whole, report["hours"])
    rows.append(("all, notebooks apart", f"{report['disk_gib']:.2f}", *whole))
    print(tabulate(rows, ["job", "disk, GiB", *machines], disable_numparse=True))
    print(_disk(report))
    print(
        "estimates: memory of one card in GiB, hours; a way in brackets lowers memory"
    )


def _estimated(found: dict) -> str:
    if not found["fits"]:
        return f"does not fit: {found['memory_gib']:.1f} GiB"
    if not found["memory_gib"]:
        return _whole(found["hours"])
    way = f" ({found['way']})" if found["way"] else ""
    return f"fits: {found['memory_gib']:.1f} GiB, {_hours(found['hours'])}{way}"


def _whole(hours: float | None) -> str:
    return _hours(hours) if hours else "-"


def _hours(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 0.1 else f"{60 * hours:.1f} min"


def _disk(report: dict) -> str:
    needed, free = report["disk_gib"], report["disk"]["free_gib"]
    verdict = "enough" if free >= needed else "set DRCAP_HOME to where there is more"
    return f"disk: {needed:.1f} GiB in all, {free} GiB free: {verdict}"


def _lines(facts: dict) -> list[str]:
    rows = [
        ("python", facts["python"]),
        *((name, found or "missing") for name, found in facts["packages"].items()),
        ("processor", _processor(facts["processor"])),
        ("gpu", "; ".join(map(_gpu, facts["gpus"])) or "none"),
        ("memory", "{total_gib} GiB, {available_gib} free".format(**facts["memory"])),
        ("disk", "{free_gib} GiB free at {home}".format(**facts["disk"])),
        ("java", _java(facts["java"])),
        *((f"asset {name}", _asset(found)) for name, found in facts["assets"].items()),
        *((f"profile {name}", _profile(of)) for name, of in facts["profiles"].items()),
    ]
    width = max(len(name) for name, _ in rows)
    return [f"{name:<{width}}  {fact}" for name, fact in rows]


def _processor(found: dict) -> str:
    precision = "bfloat16" if found["bfloat16"] else "float32"
    return f"{found['name']}, {found['cores']} cores, fastest in {precision}"


def _gpu(found: dict) -> str:
    precision = "bfloat16" if found["bfloat16"] else "no bfloat16"
    return f"{found['name']}, {found['memory_gib']} GiB, {precision}"


def _java(found: dict | None) -> str:
    if found is None:
        return "missing: all metrics but the SBERT similarity need Java 8 or later"
    return f"{found['version']} ({found['path']})"


def _asset(found: dict) -> str:
    if found["problem"] is None:
        return "present"
    return f"{found['problem']}: run `{found['remedy']}`"


def _profile(needs: dict) -> str:
    gpu = f", a GPU of {needs['gpu_memory_gib']} GiB" * bool(needs["gpu_memory_gib"])
    asked = f"{needs['disk_gib']} GiB disk, {needs['memory_gib']} GiB memory{gpu}"
    state = f"lacks {', '.join(needs['lacks'])}" if needs["lacks"] else "ready"
    return f"{state} (needs {asked}; {needs['time']})"
