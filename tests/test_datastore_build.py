import errno
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_kill import Killed, kill_at

from drcap.errors import ConfigError, DatastoreError
from drcap.files import sha256
from drcap.retrieval import CaptionDatastore, datastore_build, datastore_files
from drcap.retrieval.datastore_build import aside, build_datastore

CAPTIONS = [*TOY_CAPTIONS, "", f" {TOY_CAPTIONS[0]} "]  # 60 distinct ones
SMALL = {"shard_size": 8, "batch_size": 3, "progress": False}  # eight shards

LAUNCHED = """
import sys
sys.path[:0] = [{tests!r}, {root!r}]
from doubles import ToyCLAP
from test_datastore_build import CAPTIONS, SMALL
from drcap.processes import Processes
from drcap.retrieval.datastore_build import build_datastore

team = Processes("cpu")
assert team.count == {count}
build_datastore({folder!r}, CAPTIONS, ToyCLAP(), processes=team, **SMALL)
"""


def contents(folder):
    return {path.name: sha256(path) for path in sorted(Path(folder).iterdir())}


@pytest.fixture
def finished(tmp_path):
    build_datastore(tmp_path / "finished", CAPTIONS, ToyCLAP(), **SMALL)
    return tmp_path / "finished"


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shard_size", [1, 7, 60, 4096])
def test_a_build_on_disk_equals_one_in_memory(tmp_path, dtype, shard_size):
    options = {"shard_size": shard_size, "dtype": dtype, "progress": False}
    build_datastore(tmp_path / "built", CAPTIONS, ToyCLAP(), **options)
    memory = CaptionDatastore.build(CAPTIONS, ToyCLAP(), dtype=dtype)
    memory.save(tmp_path / "saved")
    assert contents(tmp_path / "built") == contents(tmp_path / "saved")
    assert not aside(tmp_path / "built").exists()


def test_halves_are_searched_as_the_float32_rows_they_stand_for(tmp_path):
    build_datastore(tmp_path / "half", CAPTIONS, ToyCLAP(), dtype="float16", **SMALL)
    half = CaptionDatastore.load(tmp_path / "half", ToyCLAP())
    assert half.embeddings.dtype == np.float16
    whole = CaptionDatastore(half.captions, half.rows(np.arange(60)), half.encoder)
    queries = ToyCLAP().encode_text(["A loud dog", "Rain in a car"])
    assert half.search(queries, 5) == whole.search(queries, 5)
    assert half.fingerprint != whole.fingerprint


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_approximate_index_is_built_saved_and_loaded(tmp_path, index):
    build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), index=index, **SMALL)
    assert (tmp_path / "ds" / "index.faiss").exists()
    datastore = CaptionDatastore.load(tmp_path / "ds")
    assert datastore.index == index and not datastore.nearest.exact
    queries = ToyCLAP().encode_text(TOY_CAPTIONS[:9])
    found = [matches[0].caption for matches in datastore.search(queries, 1)]
    assert found == TOY_CAPTIONS[:9]
    datastore.remove(TOY_CAPTIONS[:1])  # the index follows
    datastore.save(tmp_path / "ds")
    again = CaptionDatastore.load(tmp_path / "ds")
    assert TOY_CAPTIONS[0] not in [m.caption for m in again.search(queries, 3)[0]]


@pytest.mark.parametrize("call", [1, 3, 8])
@pytest.mark.parametrize("after", [False, True])
def test_a_killed_build_goes_on_to_the_same_bytes(
    tmp_path, finished, monkeypatch, call, after
):
    with monkeypatch.context() as patch:
        kill_at(patch, datastore_build._Shards, "write", call, after)
        with pytest.raises(Killed):
            build_datastore(tmp_path / "killed", CAPTIONS, ToyCLAP(), **SMALL)
    assert not (tmp_path / "killed").exists()
    clap = ToyCLAP()
    build_datastore(tmp_path / "killed", CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == 60 - 8 * min(call - (not after), 7) - 4 * (
        call == 8 and after
    )
    assert contents(tmp_path / "killed") == contents(finished)


@pytest.mark.parametrize(
    "owner, name, after",
    [
        (datastore_files.files, "write_json", False),  # the manifest
        (datastore_build, "replace_folder", False),
        (datastore_build, "replace_folder", True),
    ],
)
def test_a_build_killed_while_put_together_encodes_nothing_again(
    tmp_path, finished, monkeypatch, owner, name, after
):
    with monkeypatch.context() as patch:
        kill_at(patch, owner, name, 1, after)
        with pytest.raises(Killed):
            build_datastore(tmp_path / "killed", CAPTIONS, ToyCLAP(), **SMALL)
    assert (tmp_path / "killed").exists() == after
    clap = ToyCLAP()
    build_datastore(tmp_path / "killed", CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == 0
    assert contents(tmp_path / "killed") == contents(finished)
    assert not aside(tmp_path / "killed").exists()


def test_what_a_kill_leaves_half_written_is_removed_in_the_end(tmp_path, finished):
    leftover = aside(tmp_path / "ds") / ".writing-abc"
    leftover.mkdir(parents=True)
    (leftover / "rows-000000.safetensors").write_bytes(b"half a fi")
    build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ds", "finished"]
    assert contents(tmp_path / "ds") == contents(finished)


def test_a_datastore_that_is_there_stays_until_the_new_one_is_whole(
    tmp_path, monkeypatch
):
    build_datastore(tmp_path / "ds", CAPTIONS[:9], ToyCLAP(), **SMALL)
    half_built(tmp_path / "ds", monkeypatch)
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 9
    build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 60


def test_a_folder_may_be_named_by_where_one_stands(tmp_path, finished, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    build_datastore(".", CAPTIONS, ToyCLAP(), **SMALL)
    assert contents(tmp_path / "here") == contents(finished)


def half_built(folder, monkeypatch, **options):
    with monkeypatch.context() as patch:
        kill_at(patch, datastore_build._Shards, "write", 4)
        with pytest.raises(Killed):
            build_datastore(folder, CAPTIONS, ToyCLAP(), **{**SMALL, **options})
    return sorted(aside(folder).glob("rows-*"))


@pytest.mark.parametrize("damage", ["cut", "changed", "emptied", "exchanged"])
def test_a_damaged_shard_is_encoded_again(tmp_path, finished, monkeypatch, damage):
    folder = tmp_path / "killed"
    first, second, third = half_built(folder, monkeypatch)
    content = second.read_bytes()
    changed = {
        "cut": content[:-5],
        "changed": content[:-1] + bytes([content[-1] ^ 1]),
        "emptied": b"",
        "exchanged": b"not a tensor" * 100,
    }
    second.write_bytes(changed[damage])
    clap = ToyCLAP()
    with pytest.warns(UserWarning, match="rows-000001.*damaged: it is encoded again"):
        build_datastore(folder, CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == 60 - 2 * 8
    assert contents(folder) == contents(finished)


@pytest.mark.parametrize(
    "clap, options, named",
    [
        (ToyCLAP("other"), {}, "encoder"),
        (ToyCLAP(), {"dtype": "float16"}, "dtype"),
        (ToyCLAP(), {"shard_size": 9}, "shard size"),
    ],
)
def test_the_shards_of_something_else_are_refused(
    tmp_path, monkeypatch, clap, options, named
):
    shards = half_built(tmp_path / "ds", monkeypatch)
    with pytest.raises(
        DatastoreError, match=f"half-built datastore that differs in {named}:"
    ):
        build_datastore(tmp_path / "ds", CAPTIONS, clap, **{**SMALL, **options})
    with pytest.raises(DatastoreError, match="differs in captions"):
        build_datastore(tmp_path / "ds", CAPTIONS[:9], ToyCLAP(), **SMALL)
    assert all(path.exists() for path in shards)


def test_a_folder_of_other_files_is_never_taken_for_shards(tmp_path):
    (tmp_path / "ds.building").mkdir()
    (tmp_path / "ds.building" / "thesis.txt").write_text("years")
    with pytest.raises(DatastoreError, match="holds other files"):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert (tmp_path / "ds.building" / "thesis.txt").exists()


@pytest.mark.parametrize("content", ["", "{", "[1]", "7"])
def test_a_plan_that_cannot_be_read_is_not_built_on(tmp_path, monkeypatch, content):
    shards = half_built(tmp_path / "ds", monkeypatch)
    (aside(tmp_path / "ds") / "plan.json").write_text(content)
    with pytest.raises(DatastoreError, match="holds other files"):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert all(path.exists() for path in shards)


def test_a_file_in_the_place_of_the_shards_is_left_alone(tmp_path):
    (tmp_path / "ds.building").write_text("years")
    with pytest.raises(DatastoreError, match="ds.building holds other files"):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert (tmp_path / "ds.building").read_text() == "years"


@pytest.mark.parametrize(
    "where", ["drcap.retrieval.datastore_build", "drcap.retrieval.datastore_files"]
)
def test_a_full_disk_is_one_line_and_the_build_goes_on(
    tmp_path, finished, monkeypatch, where
):
    calls = iter(range(1, 100))
    fail = 3 if where.endswith("build") else 1  # a shard, or the whole

    def no_room(path, blocks, *arguments, original=datastore_build.write_rows):
        if next(calls) == fail:
            path.write_bytes(b"half a fi")
            raise OSError(errno.ENOSPC, "No space left on device")
        original(path, blocks, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(f"{where}.write_rows", no_room)
        with pytest.raises(DatastoreError, match="the disk is full; free some room"):
            build_datastore(tmp_path / "full", CAPTIONS, ToyCLAP(), **SMALL)
    assert not (tmp_path / "full").exists()
    clap = ToyCLAP()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing half-written is found
        build_datastore(tmp_path / "full", CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == (44 if fail == 3 else 0)
    assert contents(tmp_path / "full") == contents(finished)


def test_a_folder_that_may_not_be_written_to_is_one_line(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("drcap.retrieval.datastore_build.write_rows", denied)
    with pytest.raises(DatastoreError, match="cannot be written .Permission denied."):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)


def test_another_error_is_not_called_one_of_the_disk(tmp_path, monkeypatch):
    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("drcap.retrieval.datastore_build.write_rows", broken)
    with pytest.raises(OSError, match="Input/output"):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)


def test_impossible_settings_are_refused_before_anything_is_encoded(tmp_path):
    clap = ToyCLAP()
    with pytest.raises(ConfigError, match="dtype: 'float8'"):
        build_datastore(tmp_path / "ds", CAPTIONS, clap, dtype="float8")
    with pytest.raises(ConfigError, match="index: unknown 'flat'"):
        build_datastore(tmp_path / "ds", CAPTIONS, clap, index="flat")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatastoreError, match="is a file"):
        build_datastore(tmp_path / "file", CAPTIONS, clap)
    assert clap.encoded_captions == 0


def test_no_captions_make_an_empty_datastore(tmp_path):
    build_datastore(tmp_path / "ds", [" "], ToyCLAP(), index="ivf", **SMALL)
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 0


@pytest.mark.parametrize("count", [2, 3])
def test_the_number_of_processes_does_not_change_a_byte(tmp_path, finished, count):
    script = tmp_path / "launched.py"
    tests = Path(__file__).parent
    values = {"tests": str(tests), "root": str(tests.parent), "count": count}
    script.write_text(LAUNCHED.format(folder=str(tmp_path / "shared"), **values))
    command = [sys.executable, "-m", "accelerate.commands.accelerate_cli", "launch"]
    command += ["--multi_gpu", "--num_processes", str(count), "--num_machines", "1"]
    command += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    command += ["--main_process_port", "0", str(script)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert told.returncode == 0, told.stderr
    assert contents(tmp_path / "shared") == contents(finished)
    assert not aside(tmp_path / "shared").exists()
