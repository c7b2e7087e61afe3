import json

import pytest
from doubles import ToyCLAP
from typer.testing import CliRunner

import drcap.load
from drcap.cli.datastore import app
from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import CaptionDatastore


@pytest.fixture
def clap(monkeypatch):
    clap = ToyCLAP()
    monkeypatch.setattr(drcap.load, "load_clap", lambda name: clap)
    return clap


@pytest.fixture
def captions_file(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("A dog barks\nRain falls\nA dog barks\n")
    return path


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def folder(clap, captions_file, tmp_path):
    folder = tmp_path / "datastore"
    result = run("build", captions_file, "--output", folder)
    assert "2 captions, 1 repeats left out" in result.stdout
    return folder


def test_build_writes_a_datastore_of_the_file_s_captions(folder, clap):
    assert CaptionDatastore.load(folder, clap).captions == ["A dog barks", "Rain falls"]


def test_build_replaces_a_datastore_only_when_told_to(folder, clap, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("Bells ring\n")
    result = run("build", other, "--output", folder)
    assert isinstance(result.exception, DatastoreError)
    assert "add --overwrite" in str(result.exception)
    assert clap.encoded_captions == 2  # refused before the costly part
    assert run("build", other, "--output", folder, "--overwrite").exit_code == 0
    assert CaptionDatastore.load(folder).captions == ["Bells ring"]


def test_build_never_replaces_other_files(clap, captions_file, tmp_path):
    result = run("build", captions_file, "--output", tmp_path, "--overwrite")
    assert "holds other files" in str(result.exception)
    below = run("build", captions_file, "--output", captions_file / "datastore")
    assert f"{captions_file}: is a file" in str(below.exception)
    assert captions_file.exists() and clap.encoded_captions == 0


def test_add_encodes_only_what_is_new(folder, clap, tmp_path):
    more = tmp_path / "more.txt"
    more.write_text("Rain falls\nBells ring\n")
    result = run("add", folder, more)
    assert "1 added, 3 captions" in result.stdout
    assert clap.encoded_captions == 3
    assert "Bells ring" in CaptionDatastore.load(folder)


def test_add_by_another_encoder_is_refused(folder, captions_file, monkeypatch):
    other = ToyCLAP("other")
    monkeypatch.setattr(drcap.load, "load_clap", lambda name: other)
    result = run("add", folder, captions_file, "--clap", "other")
    assert "not by other: rebuild it with" in str(result.exception)


def test_remove_needs_no_encoder(folder, clap, tmp_path):
    fewer = tmp_path / "fewer.txt"
    fewer.write_text("A dog barks\nNot there\n")
    result = run("remove", folder, fewer)
    assert "1 removed, 1 captions" in result.stdout
    assert clap.encoded_captions == 2
    assert CaptionDatastore.load(folder).captions == ["Rain falls"]


def test_info_describes_a_datastore_for_people_and_programs(folder):
    facts = json.loads(run("info", folder, "--json").stdout)
    assert facts["captions"] == 2
    assert facts["dim"] == 32
    assert facts["encoder"] == "toy-clap"
    assert facts["fingerprint"] == CaptionDatastore.load(folder).fingerprint
    assert facts["bytes"] > 0
    plain = run("info", folder).stdout
    assert all(str(value) in plain for value in facts.values())


@pytest.mark.parametrize("index", ["exact", "ivf"])
def test_build_stores_halves_and_an_index_when_asked_to(
    clap, captions_file, tmp_path, index
):
    options = ["--output", tmp_path / "ds", "--dtype", "float16", "--index", index]
    told = run("build", captions_file, *options)
    assert told.exit_code == 0
    assert (f"{index} finds 100.0% of the exact top 3" in told.stdout) == (
        index != "exact"
    )
    facts = json.loads(run("info", tmp_path / "ds", "--json").stdout)
    assert (facts["dtype"], facts["index"]) == ("float16", index)


def test_build_refuses_an_unknown_option_before_anything_starts(
    clap, captions_file, tmp_path
):
    told = run("build", captions_file, "--output", tmp_path / "ds", "--index", "flat")
    assert isinstance(told.exception, ConfigError)
    assert "unknown 'flat'; choose one of exact, ivf, hnsw" in str(told.exception)
    assert clap.encoded_captions == 0
