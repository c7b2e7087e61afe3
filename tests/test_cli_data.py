"""`drcap data`: a table, one line for a mistake, exit codes, files for the authors."""

import json

import pytest
from doubles import ToyCLAP
from doubles_datasets import MAKERS, make_audiocaps, make_clotho

from drcap.authors import jsonl
from drcap.authors.jsonl import read_authors_jsonl
from drcap.data.clip import read_captions, read_prepared
from drcap.retrieval import CaptionDatastore


@pytest.fixture
def data(home, drcap):
    """Run `drcap data`; return its exit code, stdout and stderr."""
    return lambda *arguments: drcap("data", *arguments)


@pytest.fixture
def prepared(data, tmp_path):
    """Return the prepared folder of AudioCaps."""
    root = make_audiocaps(tmp_path / "audiocaps")
    assert data("prepare", "audiocaps", "--root", root)[0] == 0
    return tmp_path / "home/data/audiocaps"


@pytest.mark.parametrize("name", MAKERS)
def test_prepare_shows_a_table_and_says_where_it_wrote(data, tmp_path, name):
    root = MAKERS[name](tmp_path / name)
    code, out, err = data("prepare", name, "--root", root, "--output", tmp_path / "o")
    assert (code, err) == (0, "")
    assert out.split()[:3] == ["subset", "clips", "captions"]
    assert f"Written to {tmp_path / 'o'}" in out


def test_prepare_prints_json(data, tmp_path):
    root = make_clotho(tmp_path / "clotho")
    code, out, _ = data("prepare", "clotho", "--root", root, "--json")
    found = json.loads(out)
    assert code == 0 and found["folder"] == str(tmp_path / "home/data/clotho")
    assert [each["clips"] for each in found["subsets"]] == [2, 2, 2]


def test_an_absent_dataset_is_one_line_and_what_to_download(data, tmp_path):
    code, out, err = data("prepare", "clotho", "--root", tmp_path)
    assert code == 2 and err.count("\n") == 1 and err.startswith(f"drcap: {tmp_path}")
    assert "zenodo.org/records/4783391" in out and "Tampere" in out and "GB" in out


@pytest.mark.parametrize("name", MAKERS)
def test_sources_says_what_to_download(data, name):
    code, out, _ = data("sources", name)
    assert code == 0 and "https://" in out and "Licence: " in out


def test_a_malformed_row_is_one_line_and_exit_code_2(data, tmp_path):
    root = make_audiocaps(tmp_path / "a")
    with open(root / "dataset/train.csv", "a") as sink:
        sink.write("77,abc,30\n")
    code, out, err = data("prepare", "audiocaps", "--root", root)
    assert (code, out) == (2, "")
    assert err.startswith(f"drcap: {root / 'dataset/train.csv'}: line 14 has 3 columns")
    assert err.count("\n") == 1


def test_a_bad_recording_is_reported_and_the_rest_completes(data, tmp_path):
    root = make_clotho(tmp_path / "c")
    bad = root / "clotho_audio_files/evaluation/rain evaluation.wav"
    bad.write_bytes(b"")
    code, out, err = data("prepare", "clotho", "--root", root)
    assert code == 2 and out.startswith("subset")
    assert err.startswith(f"drcap: {bad}: ") and err.count("\n") == 1
    done = tmp_path / "home/data/clotho/evaluation.jsonl"
    assert sum(bool(clip.path) for clip in read_prepared(done)) == 1


def test_an_unknown_name_is_one_line(data, tmp_path):
    code, out, err = data("prepare", "esc50", "--root", tmp_path)
    assert (code, out) == (2, "") and "data set: unknown 'esc50'" in err


# the authors' files


def test_export_and_import_keep_the_captions(data, prepared, tmp_path):
    authors, back = tmp_path / "authors.jsonl", tmp_path / "back.jsonl"
    code, out, _ = data("export", prepared / "val.jsonl", "--output", authors)
    assert code == 0 and out == f"{authors}: 10 lines\n"
    assert all(not each.similar_captions for each in read_authors_jsonl(authors))
    code, out, _ = data("import", authors, "--output", back)
    assert code == 0 and "2 clips, 10 captions, 0 lines empty" in out
    assert read_captions(back) == read_captions(prepared / "val.jsonl")


def test_export_for_inference_has_a_line_a_recording_with_similar_captions(
    data, prepared, tmp_path, monkeypatch
):
    monkeypatch.setattr(jsonl, "load_clap", lambda name: ToyCLAP())
    store, target = tmp_path / "store", tmp_path / "test.jsonl"
    captions = read_captions(prepared / "train.jsonl")
    CaptionDatastore.build(captions, ToyCLAP()).save(store)
    options = ("--for", "inference", "--datastore", store)
    code, *_ = data("export", prepared / "test.jsonl", "--output", target, *options)
    records = read_authors_jsonl(target)
    assert code == 0 and len(records) == 2
    for record in records:
        assert record.source.endswith(".wav")
        assert len({*record.similar_captions} & {*captions}) == 3


def test_a_file_that_is_not_the_authors_is_one_line(data, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"caption": "A dog"}\n')
    code, _, err = data("import", path, "--output", tmp_path / "b.jsonl")
    line = f"drcap: {path}: line 1, field 'key': Field required\n"
    assert (code, err) == (2, line)
