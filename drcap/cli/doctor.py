"""`drcap doctor`: what is installed, fetched and available, and what is lacking."""

import json

from drcap.cli import options


def doctor(as_json: options.AsJson = False) -> None:
    """Show versions, devices, disk, Java, assets, and what each profile needs."""
    from drcap.doctor import collect

    facts = collect()
    print(json.dumps(facts, indent=2) if as_json else "\n".join(_lines(facts)))


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
    precision = "bfloat16" if found["bfloat16"] else "no bfloat16"
    return f"{found['name']}, {found['cores']} cores, {precision}"


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
