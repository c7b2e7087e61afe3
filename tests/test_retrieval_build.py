"""A build on disk gives the bytes of one in memory, however often it is interrupted."""

import errno
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_kill import Killed, kill_at
from filelock import FileLock

from drcap.atomic import sha256
from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import CaptionDatastore, build, files
from drcap.retrieval.build import build_datastore

CAPTIONS = [*TOY_CAPTIONS, "", f" {TOY_CAPTIONS[0]} "]  # 60 distinct ones
SMALL = {"shard_size": 8, "batch_size": 3}  # eight shards


class Shared:
    """One of several processes that share a build, here threads."""

    def __init__(self, index, barrier):
        self.index, self.count = index, barrier.parties
        self.main, self.wait = index == 0, barrier.wait


def aside(folder):
    return folder.with_name(folder.name + ".building")


def contents(folder):
    return {path.name: sha256(path) for path in sorted(Path(folder).iterdir())}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("build") / "finished"
    build_datastore(folder, CAPTIONS, ToyCLAP(), **SMALL)
    return contents(folder)


def interrupted(folder, monkeypatch, owner, name, call=1, after=False, **options):
    """Build until a call is killed; return the captions that were encoded."""
    clap = ToyCLAP()
    with monkeypatch.context() as patch:
        kill_at(patch, owner, name, call, after)
        with pytest.raises(Killed):
            build_datastore(folder, CAPTIONS, clap, **{**SMALL, **options})
    return clap.encoded_captions


def half_built(folder, monkeypatch, **options):
    interrupted(folder, monkeypatch, np, "save", 4, **options)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shard_size", [7, 60, 4096])
def test_a_build_on_disk_equals_one_in_memory(tmp_path, dtype, shard_size):
    options = {"shard_size": shard_size, "dtype": dtype}
    build_datastore(tmp_path / "built", CAPTIONS, ToyCLAP(), **options)
    memory = CaptionDatastore.build(CAPTIONS, ToyCLAP(), dtype=dtype)
    memory.save(tmp_path / "saved")
    assert contents(tmp_path / "built") == contents(tmp_path / "saved")
    assert not aside(tmp_path / "built").exists()


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_an_approximate_index_is_built_saved_and_loaded(tmp_path, index):
    build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), index=index, **SMALL)
    datastore = CaptionDatastore.load(tmp_path / "ds")
    assert datastore.index == index and datastore.searcher.index is not None
    queries = ToyCLAP().encode_text(TOY_CAPTIONS[:9])
    nearest = [matches[0].caption for matches in datastore.search(queries, 1)]
    assert nearest == TOY_CAPTIONS[:9]
    datastore.remove(TOY_CAPTIONS[:1])  # the index follows
    datastore.save(tmp_path / "ds")
    again = CaptionDatastore.load(tmp_path / "ds")
    assert TOY_CAPTIONS[0] not in [m.caption for m in again.search(queries, 3)[0]]


@pytest.mark.parametrize(
    "owner, name, call, after, encoded_again",
    [
        (np, "save", 1, False, 60),
        (np, "save", 3, True, 44),  # a shard is written and not yet in its place
        (build, "_joined", 1, False, 0),
        (np.lib.format, "write_array_header_1_0", 1, True, 0),
        (build, "build_index", 1, True, 0),
        (files, "complete", 1, True, 0),
        (build, "replace_folder", 1, False, 0),
        (build, "replace_folder", 1, True, 0),
    ],
)
def test_a_killed_build_goes_on_to_the_same_bytes(
    tmp_path, finished, monkeypatch, owner, name, call, after, encoded_again
):
    index = {"index": "ivf"} if owner is files else {}  # it is not taken over
    interrupted(tmp_path / "ds", monkeypatch, owner, name, call, after, **index)
    assert (tmp_path / "ds").exists() == (name == "replace_folder" and after)
    clap = ToyCLAP()
    build_datastore(tmp_path / "ds", CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == encoded_again
    assert contents(tmp_path / "ds") == finished
    assert [path.name for path in tmp_path.iterdir()] == ["ds"]


def test_a_datastore_that_is_there_stays_until_the_new_one_is_whole(
    tmp_path, monkeypatch
):
    build_datastore(tmp_path / "ds", CAPTIONS[:9], ToyCLAP(), **SMALL)
    half_built(tmp_path / "ds", monkeypatch)
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 9
    build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 60
    assert [path.name for path in tmp_path.iterdir()] == ["ds"]


def test_a_folder_may_be_named_by_where_one_stands(tmp_path, finished, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    build_datastore(".", CAPTIONS, ToyCLAP(), **SMALL)
    assert contents(tmp_path / "here") == finished


def test_a_half_built_datastore_of_something_else_is_refused(tmp_path, monkeypatch):
    half_built(tmp_path / "ds", monkeypatch)
    before = sorted(aside(tmp_path / "ds").rglob("*"))
    for clap, captions, options in (
        (ToyCLAP("other"), CAPTIONS, {}),
        (ToyCLAP(), CAPTIONS[:9], {}),
        (ToyCLAP(), CAPTIONS, {"dtype": "float16"}),
        (ToyCLAP(), CAPTIONS, {"shard_size": 9}),
    ):
        with pytest.raises(DatastoreError, match="half-built datastore of other capt"):
            build_datastore(tmp_path / "ds", captions, clap, **{**SMALL, **options})
    assert sorted(aside(tmp_path / "ds").rglob("*")) == before


def test_other_files_are_never_taken_for_a_build(tmp_path):
    path = aside(tmp_path / "ds") / "thesis.txt"
    path.parent.mkdir()
    path.write_text("years")
    with pytest.raises(DatastoreError, match="holds other files, or a half-built"):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert path.read_text() == "years"


def test_a_file_in_the_place_of_the_build_is_left_alone(tmp_path):
    aside(tmp_path / "ds").write_text("years")
    with pytest.raises(DatastoreError, match="ds.building cannot be written"):
        build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert aside(tmp_path / "ds").read_text() == "years"


def test_two_builds_of_one_datastore_exclude_each_other(tmp_path, finished):
    aside(tmp_path / "ds").mkdir()
    clap = ToyCLAP()
    with FileLock(aside(tmp_path / "ds") / ".lock"):
        with pytest.raises(DatastoreError, match="another build of this datastore run"):
            build_datastore(tmp_path / "ds", CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == 0
    build_datastore(tmp_path / "ds", CAPTIONS, clap, **SMALL)
    assert contents(tmp_path / "ds") == finished


@pytest.mark.parametrize(
    "code, message",
    [(errno.ENOSPC, "No space left on device"), (errno.EACCES, "Permission denied")],
)
def test_a_disk_that_refuses_is_one_line_and_the_build_goes_on(
    tmp_path, finished, monkeypatch, code, message
):
    calls, original = iter(range(1, 100)), np.save

    def refuse(*given):
        if next(calls) == 3:
            raise OSError(code, message)
        return original(*given)

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", refuse)
        with pytest.raises(DatastoreError, match=f"cannot be .*{message}"):
            build_datastore(tmp_path / "ds", CAPTIONS, ToyCLAP(), **SMALL)
    assert not (tmp_path / "ds").exists()
    clap = ToyCLAP()
    build_datastore(tmp_path / "ds", CAPTIONS, clap, **SMALL)
    assert clap.encoded_captions == 44
    assert contents(tmp_path / "ds") == finished


def test_impossible_settings_are_refused_before_anything_is_encoded(tmp_path):
    clap, folder = ToyCLAP(), tmp_path / "ds"
    for make in (CaptionDatastore.build, partial(build_datastore, folder)):
        with pytest.raises(ConfigError, match="dtype: unknown 'float8'"):
            make(CAPTIONS, clap, dtype="float8")
        with pytest.raises(ConfigError, match="index: unknown 'flat'"):
            make(CAPTIONS, clap, index="flat")
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "ds"):
        with pytest.raises(DatastoreError, match="is a file"):
            build_datastore(folder, CAPTIONS, clap)
    assert clap.encoded_captions == 0
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_no_captions_make_an_empty_datastore(tmp_path):
    build_datastore(tmp_path / "ds", [" "], ToyCLAP(), index="ivf", **SMALL)
    assert len(CaptionDatastore.load(tmp_path / "ds")) == 0


@pytest.mark.parametrize("count", [2, 3])
def test_the_number_of_processes_does_not_change_a_byte(tmp_path, finished, count):
    barrier, claps = (
        threading.Barrier(count, timeout=60),
        [ToyCLAP() for _ in range(count)],
    )
    with ThreadPoolExecutor(count) as pool:
        for index, clap in enumerate(claps):
            processes = Shared(index, barrier)
            options = {"processes": processes, **SMALL}
            pool.submit(build_datastore, tmp_path / "ds", CAPTIONS, clap, **options)
    assert contents(tmp_path / "ds") == finished
    assert not aside(tmp_path / "ds").exists()
    encoded = [clap.encoded_captions for clap in claps]
    assert sum(encoded) == 60 and min(encoded) >= 12
