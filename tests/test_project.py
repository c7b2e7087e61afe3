"""Whether the project's own files agree with one another."""

import re
import subprocess
import tomllib

import nbformat
import pytest
import yaml

import drcap
from drcap import paths
from workflow.notebooks import INJECTED, problems

ROOT = paths.REPOSITORY
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LARGEST_FILE = 15e6  # bytes
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def tracked_files():
    listing = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True
    )
    if listing.returncode:
        pytest.skip("not a git repository: an unpacked archive, say")
    files = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in files if path.is_file()]


def test_conda_and_pip_install_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    [by_pip] = [e["pip"] for e in environment["dependencies"] if isinstance(e, dict)]
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    assert by_pip[0] == "-c constraints.txt"
    assert sorted(by_pip[1:]) == sorted(wanted)
    python = PROJECT["requires-python"].removeprefix(">=").partition(",")[0]
    assert f"python={python}" in environment["dependencies"]


def test_every_conda_dependency_says_what_needs_it():
    lines = (ROOT / "environment.yml").read_text().splitlines()
    pinned = [line for line in lines if re.match(r" +- \w[\w-]*[=<>]+\d", line)]
    assert len(pinned) > 30
    unexplained = [line for line in pinned if "  # " not in line]
    assert unexplained == ["  - python=3.11"]


def test_the_makefile_installs_the_torch_that_is_pinned():
    [torch] = re.findall(r"^TORCH := (\S+)$", (ROOT / "Makefile").read_text(), re.M)
    assert torch in (ROOT / "constraints.txt").read_text().splitlines()


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    changelog = (ROOT / "CHANGELOG.md").read_text()
    released = re.findall(r"^## \[(\d\S*)\]", changelog, re.M)
    assert citation["version"] == drcap.__version__ == PROJECT["version"] == released[0]


def test_no_tracked_file_is_too_large_to_clone_quickly():
    large = [path for path in tracked_files() if path.stat().st_size > LARGEST_FILE]
    assert large == []


def test_the_readme_begins_with_the_two_commands():
    readme = (ROOT / "README.md").read_text()
    first_block = readme.split("```")[1].splitlines()[1:]
    assert [line.split("#")[0].strip() for line in first_block if line] == [
        "make reproduce",
        "make test",
    ]


def test_committed_notebooks_are_clean_and_at_their_defaults():
    for path in NOTEBOOKS:
        notebook = nbformat.read(path, as_version=4)
        assert problems(notebook) == [], path
        tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", [])]
        assert tags.count("parameters") == 1 and INJECTED not in tags
        outputs = str([cell.get("outputs", []) for cell in notebook.cells])
        for machine_path in (ROOT, paths.home()):
            assert str(machine_path) not in outputs
