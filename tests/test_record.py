import hashlib
import json
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pytest

from drcap import paths, record
from drcap.config import Config
from drcap.record import (
    RECORD,
    digests,
    git_state,
    keep_records,
    made_with,
    read_records,
    run_record,
)


@dataclass
class Settings:
    folder: Path
    rates: tuple[float, ...]


@pytest.fixture
def repository(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True)

    git("init", "-q")
    (tmp_path / "file.txt").write_text("one")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    return tmp_path


def test_the_record_is_json_and_says_what_ran_where(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/drcap", "evaluate", "--limit", "2"])
    run = json.loads(json.dumps(run_record(seed=3, config=Config(), note="hello")))
    assert run["command"] == ["drcap", "evaluate", "--limit", "2"]
    assert run["python"] == platform.python_version()
    assert run["packages"]["torch"] == version("torch")
    assert run["seed"] == 3 and run["note"] == "hello"
    assert run["config"]["captioner"]["lora_r"] == 8
    assert run["machine"]["cores"] >= 1 and run["machine"]["cpu"]


def test_paths_dataclasses_and_tuples_become_plain_values():
    run = run_record(config=Settings(Path("/data"), (0.5, 1.0)), sizes={1, 2})
    assert run["config"] == {"folder": "/data", "rates": [0.5, 1.0]}
    assert sorted(run["sizes"]) == [1, 2]


def test_time_runs_from_the_given_start_or_that_of_the_process():
    run = run_record(started=time.time() - 60)
    assert 60 <= run["seconds"] < 65
    assert run["started"].endswith("+00:00")
    assert run_record()["seconds"] > 0


def test_inputs_are_hashed_file_by_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "b").write_bytes(b"bee")
    (tmp_path / "a").write_bytes(b"ay")
    expected = {
        "a": hashlib.sha256(b"ay").hexdigest(),
        "deep/b": hashlib.sha256(b"bee").hexdigest(),
    }
    assert digests(tmp_path) == expected
    run = run_record(inputs=[tmp_path / "a"])
    assert run["inputs"] == {str(tmp_path / "a"): expected["a"]}


def test_a_missing_input_is_an_error_and_not_an_empty_hash(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        run_record(inputs=[tmp_path / "absent"])


def test_the_commit_and_its_changes_are_recorded(repository):
    clean = git_state(repository)
    assert len(clean["commit"]) == 40 and clean["changed"] is False
    (repository / "file.txt").write_text("two")
    assert git_state(repository) == clean | {"changed": True}


def test_outside_a_repository_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path)
    assert run_record()["git"] is None


def test_a_machine_without_git_still_gets_a_record(repository, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state(repository) is None


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    monkeypatch.setattr(record, "PACKAGES", ("no-such-package",))
    assert run_record()["packages"] == {"no-such-package": None}


def test_a_result_is_up_to_date_where_its_record_has_the_key_of_now():
    key = {"config": Config(), "captions": ["a dog"]}
    record = run_record(key=key, config=Config())
    assert made_with(record, key)
    assert not made_with(record, key | {"captions": ["a cat"]})
    for other in (None, [], {}, {"key": None}):
        assert not made_with(other, key) and not made_with(other, None)


def test_records_of_a_folder_are_lines_of_one_file(tmp_path):
    records = {name: {"seed": 0, "git": {"commit": "a"}, "own": name} for name in "abc"}
    keep_records(tmp_path, "tables", {"t": {"seed": 1}})
    keep_records(tmp_path, "notebooks", {name: records[name] for name in "ca"})
    keep_records(tmp_path, "notebooks", {"b": records["b"]}, only="bc")
    assert read_records(tmp_path, "notebooks") == {n: records[n] for n in "bc"}
    assert read_records(tmp_path, "tables") == {"t": {"seed": 1}}
    text = (tmp_path / RECORD).read_text()
    assert '"c": {"own": "c"}\n' in text and text.count("commit") == 1
    keep_records(tmp_path, "notebooks", {"d": {}}, only=())
    assert read_records(tmp_path, "notebooks") == {}
    (tmp_path / RECORD).write_text("{")
    assert read_records(tmp_path, "notebooks") == {}
    keep_records(tmp_path, "notebooks", {"d": {}})
    assert read_records(tmp_path, "notebooks") == {"d": {}}
