"""The doctor reports facts, whatever is missing."""

import json
import sys

import pytest

from drcap import assets, cli, doctor
from drcap.config import PROFILES


@pytest.fixture
def empty_home(tmp_path, monkeypatch):
    """A cache folder that does not exist yet."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "not" / "made"))
    return tmp_path / "not" / "made"


def run(monkeypatch, capsys, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["drcap", "doctor", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    return capsys.readouterr().out


def test_without_any_asset_each_is_named_with_its_command(
    empty_home, monkeypatch, capsys
):
    printed = run(monkeypatch, capsys)
    for name in assets.pinned():
        assert f"is not fetched: run `drcap assets fetch {name}`" in printed
    assert str(empty_home) in printed
    assert not empty_home.exists()


def test_json_is_one_object_with_every_section(empty_home, monkeypatch, capsys):
    facts = json.loads(run(monkeypatch, capsys, "--json"))
    assert set(facts) >= {"python", "packages", "processor", "gpus", "memory", "disk"}
    assert set(facts) >= {"java", "assets", "profiles"}
    assert facts["packages"]["torch"].startswith("2.13.0")
    assert facts["processor"]["cores"] >= 1
    assert 0 < facts["memory"]["available_gib"] <= facts["memory"]["total_gib"]
    assert facts["disk"]["free_gib"] > 0


def test_a_present_asset_has_no_problem(empty_home, monkeypatch):
    monkeypatch.setattr(assets, "problem", lambda asset: None)
    facts = doctor.asset_facts()
    assert set(facts) == set(assets.pinned())
    assert all(fact == {"problem": None, "remedy": None} for fact in facts.values())


def test_every_profile_of_the_package_has_its_needs():
    assert doctor.PROFILE_NEEDS.keys() == PROFILES.keys()


def test_a_profile_lacks_what_the_machine_does_not_have():
    needs = doctor.Needs(disk_gib=10, memory_gib=8, gpu_memory_gib=24, time="hours")
    small = doctor.lacks(needs, {"free_gib": 9.9}, {"total_gib": 7.9}, [])
    assert small == ["10 GiB of free disk", "8 GiB of memory", "a GPU of 24 GiB"]
    gpus = [{"memory_gib": 8.0}, {"memory_gib": 24.0}]
    assert doctor.lacks(needs, {"free_gib": 10}, {"total_gib": 8}, gpus) == []


def test_no_gpu_is_asked_of_a_profile_that_needs_none():
    needs = doctor.Needs(disk_gib=1, memory_gib=1, gpu_memory_gib=0, time="seconds")
    assert doctor.lacks(needs, {"free_gib": 1}, {"total_gib": 1}, []) == []


def test_a_container_limit_caps_the_memory(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(doctor, "_CGROUP_LIMIT", limit)
    limit.write_text(f"{2**28}\n")
    assert doctor.memory_facts()["total_gib"] == 0.2
    limit.write_text("max\n")
    assert doctor.memory_facts()["total_gib"] > 0.2


@pytest.mark.parametrize(
    "script", ["#!/bin/sh\nexit 1\n", "no interpreter", None], ids=str
)
def test_a_java_that_is_absent_or_does_not_run_is_missing(
    tmp_path, monkeypatch, capsys, empty_home, script
):
    java = tmp_path / "java"
    if script is not None:
        java.write_text(script)
        java.chmod(0o755)
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", str(java))
    assert doctor.java_facts() is None
    assert "all metrics but the SBERT similarity need Java 8 or later" in run(
        monkeypatch, capsys
    )


def test_the_version_of_java_is_reported(tmp_path, monkeypatch):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\"' >&2\n")
    java.chmod(0o755)
    monkeypatch.setenv("AAC_METRICS_JAVA_PATH", str(java))
    assert doctor.java_facts() == {
        "path": str(java),
        "version": 'openjdk version "17.0.15"',
    }


def test_a_missing_package_is_said_to_be_missing(empty_home, monkeypatch, capsys):
    collected = doctor.collect()
    collected["packages"]["aac-metrics"] = None
    collected["gpus"] = [{"name": "H100", "memory_gib": 79.2, "bfloat16": True}]
    monkeypatch.setattr(doctor, "collect", lambda: collected)
    printed = run(monkeypatch, capsys)
    assert ["aac-metrics", "missing"] in [line.split() for line in printed.splitlines()]
    assert "H100, 79.2 GiB, bfloat16" in printed
