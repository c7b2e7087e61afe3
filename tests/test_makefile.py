"""`make setup`: what it installs, in what order, and what it does not do twice.

A stand-in for Python makes a stand-in environment whose tools note how they are called.
"""

import os
import shutil
import subprocess

import pytest

from drcap import paths

PYTHON = """#!/bin/sh
[ "$1" = -c ] && exec {python} "$@"
echo "python $*" >> calls
mkdir -p .venv/bin
for tool in python drcap; do
    printf '#!/bin/sh\\necho "%s $*" >> calls\\n' $tool > .venv/bin/$tool
    chmod +x .venv/bin/$tool
done
"""
OLD_PYTHON = """#!/bin/sh
exec {python} -c "import sys; sys.version_info = (3, 8); sys.version = '3.8.1'; $2"
"""
FETCH, NO_DEPS = "drcap assets fetch", "requirements-no-deps.txt"


@pytest.fixture
def make(tmp_path):
    if shutil.which("make") is None:
        pytest.skip("needs make")
    for name in ("Makefile", "pyproject.toml", "constraints.txt", NO_DEPS):
        shutil.copy(paths.REPOSITORY / name, tmp_path)

    def run(*arguments, python=PYTHON):
        script = tmp_path / "any-python"
        script.write_text(python.format(python=shutil.which("python3")))
        script.chmod(0o755)
        # `make test` tells its tests that they run within a make
        keep = [key for key in os.environ if not key.startswith("MAKE")]
        environment = {key: os.environ[key] for key in keep}
        told = subprocess.run(
            ["make", f"PYTHON={script}", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=environment,
        )
        log = tmp_path / "calls"
        calls = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return told, calls

    return run


def test_setup_installs_torch_then_the_package_then_what_clashes_with_it(
    make, tmp_path, monkeypatch
):
    # compiled modules are kept where the environment forbids it
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    note = 'echo "${{PYTHONDONTWRITEBYTECODE-kept}}" > compiled; echo "python $*"'
    told, calls = make("setup", python=PYTHON.replace('echo "python $*"', note))
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "compiled").read_text() == "kept\n"
    assert calls[0] == "python -m venv --clear .venv"
    installs = [call.partition(" install --no-compile ")[2] for call in calls[1:-1]]
    assert installs[0].startswith("torch==")
    assert installs[1:] == ["-c constraints.txt -e .[dev]", f"--no-deps -r {NO_DEPS}"]
    assert calls[-1] == FETCH
    assert make("setup")[1] == [FETCH]
    os.utime(tmp_path / "pyproject.toml", (2e9, 2e9))
    assert len(make("setup")[1]) > 1


def test_an_old_python_is_refused_in_plain_words(make, tmp_path):
    told, calls = make("setup", python=OLD_PYTHON)
    assert told.returncode != 0 and calls == []
    assert "Python 3.11 or later is needed, this is 3.8.1" in told.stderr
    assert not (tmp_path / ".venv").exists()


def test_make_alone_explains_every_target(make):
    told, calls = make()
    makefile = (paths.REPOSITORY / "Makefile").read_text()
    [phony] = [line for line in makefile.splitlines() if line.startswith(".PHONY")]
    explained = [line.split()[0] for line in told.stdout.splitlines()]
    assert explained == phony.split()[1:] and calls == []


def test_the_two_test_targets_together_run_every_test(make):
    printed, _ = make("test-all", "--dry-run")
    runs = [line for line in printed.stdout.splitlines() if " pytest " in line]
    assert [line.split(" -m ")[-1] for line in runs] == ['"not graph"', "graph"]
    script = (paths.REPOSITORY / ".ci/run").read_text()
    assert "make test\nmake test-graph\n" in script
