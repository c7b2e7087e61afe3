import functools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from drcap import config as configs
from drcap import notebook, paths
from drcap.config import override
from drcap.errors import ConfigError
from drcap.record import read_records
from drcap.retrieval import Match
from drcap.systems.base import Captioned


@pytest.fixture
def book(tmp_path):
    return notebook.start("00_test", "smoke", 3, str(tmp_path / "reports"))


def test_the_parameters_become_the_configuration(book):
    assert book.config.seed == 3
    assert book.config.generation.num_beams == 2


def test_an_unknown_profile_is_refused():
    with pytest.raises(ConfigError, match="smok"):
        notebook.start("00_test", "smok", 0, "reports")


def test_reports_lie_in_the_repository_apart_for_each_profile():
    for folder in ("reports/demo", ""):
        started = notebook.start("00_test", "demo", 0, folder)
        assert started.reports == paths.REPOSITORY / "reports" / "demo"
    with pytest.raises(ConfigError, match="results of another profile than smoke"):
        notebook.start("00_test", "smoke", 0, "reports/demo")


def test_a_misspelt_parameter_that_papermill_injected_is_refused(monkeypatch):
    cells = ["", 'profile: str = "demo"  # which\nseed: int = 0']
    shell = SimpleNamespace(user_ns={"In": cells})
    monkeypatch.setattr(notebook, "get_ipython", lambda: shell)
    cells.append('# Parameters\nseed = 1\nprofil = "smoke"\n')
    with pytest.raises(ConfigError, match="'profil'; known are profile, seed"):
        notebook.start("00_test", "demo", 0, "")


def test_it_prints_whose_each_setting_is(book):
    lines = text_of(book)
    assert "training.steps 4 (the paper: 40000)" in lines["unlike the paper"]
    assert "audio_token after_captions (the paper: first)" in lines["unlike the paper"]
    assert "retrieval.top_k 3" in lines["as the paper"]
    assert "captioner.lora_dropout 0.05" in lines["authors' code"]
    assert "generation.num_beams 2 (the code: 4)" in lines["unlike the code"]
    assert "clap caption-bridge, captions 400" in lines["ours"]
    assert "quantisation" not in lines["ours"]  # as the profile `paper` has it
    changes = {"captioner": {"quantisation": "nf4"}}
    changed = replace(book, config=override(book.config, changes))
    assert "captioner.quantisation nf4" in text_of(changed)["ours"]
    assert max(map(len, str(book).splitlines())) <= 79


def test_the_clap_models_configuration_is_printed_as_well(tmp_path):
    settings = configs.clap_profile
    book = notebook.start("01_test", "demo", 4, str(tmp_path), settings)
    lines = text_of(book)
    assert "seed 4" in lines["profile"]
    assert "depths 2+2+2+2 (the code: 2+2+6+2)" in lines["unlike the code"]
    assert "training.warmup_epochs 2" in lines["as the paper"]
    assert "training.spec_augment.roll True" in lines["ours"]


def text_of(book):
    lines, label = {}, ""
    for line in str(book).splitlines():
        label = line[: notebook.INDENT].strip() or label
        lines[label] = f"{lines.get(label, '')} {line[notebook.INDENT :]}".strip()
    return lines


@pytest.mark.parametrize("settings", (configs.profile, configs.clap_profile))
def test_the_table_of_origins_agrees_with_the_profile_paper(settings):
    paper = settings("paper").to_dict()
    origins = notebook.provenance()[type(settings("paper")).__name__]
    assert not {*origins["paper"]} & {*origins["authors"]}
    for name, given in (origins["paper"] | origins["authors"]).items():
        value = functools.reduce(dict.__getitem__, name.split("."), paper)
        value = list(value) if isinstance(value, tuple) else value
        as_given = value == given
        assert as_given or name == "captioner.audio_token", name


def test_smoke_takes_the_first_few_recordings_of_a_folder(book, tmp_path):
    for name in "edcba":
        (tmp_path / f"{name}.wav").touch()
    names = [path.name for path in book.recordings(str(tmp_path))]
    assert names == ["a.wav", "b.wav", "c.wav"]


def test_a_table_is_kept_in_full_precision_and_shown_rounded(book):
    shown = book.table(pd.DataFrame({"loss": [2.123456]}), "losses", "In nats.")
    tables = book.reports / "tables"
    assert pd.read_csv(tables / "losses.csv").loss[0] == 2.123456
    page = (tables / "losses.md").read_text()
    assert shown.data == page
    assert "2.12 |" in page and "2.123" not in page
    assert page.endswith("In nats. Profile smoke, seed 3.\n")


def test_seeds_that_are_averaged_are_named(tmp_path):
    reports = str(tmp_path / "reports")
    book = notebook.start("12_test", "smoke", 3, reports, seeds=[0, 5])
    shown = book.table(pd.DataFrame({"a": [1]}), "means")
    assert shown.data.endswith("Profile smoke, seeds 0, 5.\n")
    assert "smoke, seeds 0, 5, on" in str(book)
    book.finish([])
    record = read_records(book.reports, "notebooks")["12_test"]
    assert (record["seed"], record["seeds"]) == (3, [0, 5])


def test_cells_do_not_break_the_table():
    frame = pd.DataFrame({"text": ["a|b\nc"], "count": [1234], "value": [None]})
    frame["value"] = frame["value"].astype(float)
    assert "| a\\|b c | 1,234 | – |" in " ".join(notebook.show(frame).data.split())


def test_results_are_tabulated_with_their_nearest_caption():
    similar = [Match("A dog barks", 0.8), Match("A fox", 0.1)]
    table = notebook.caption_table(
        [
            Captioned("a/dog.wav", "A dog", similar, 0.5),
            Captioned("a/bad.wav", None, error="bad.wav: damaged"),
        ]
    )
    assert table["file"].tolist() == ["dog.wav", "bad.wav"]
    assert table["nearest retrieved caption"].tolist() == ["A dog barks", ""]
    assert table["caption"].tolist() == ["A dog", "bad.wav: damaged"]


def test_a_caption_names_an_animal_by_its_words_alone():
    assert notebook.names("sheep", "Two lambs are bleating")
    assert not notebook.names("cow", "A coward moans")
    assert notebook.names("Train", "Two trains pass")  # a recording of one's own


def test_players_appear_where_a_person_runs_the_notebook(tmp_path, monkeypatch):
    clip = tmp_path / "clip.wav"
    clip.write_bytes(b"RIFF")
    shown = []
    monkeypatch.setattr(notebook, "display", lambda *outputs: shown.extend(outputs))
    assert notebook.play(clip).data == "Run this cell to listen to `clip.wav`."
    assert shown == []
    asks = {"content": {"allow_stdin": True}}
    kernel = SimpleNamespace(get_parent=lambda: asks)
    monkeypatch.setattr(notebook, "get_ipython", lambda: kernel)
    assert notebook.play(clip, clip) is None
    assert [each.data for each in shown[1::2]] == [b"RIFF"] * 2


def test_odd_sounds_are_drawn_by_the_seed():
    first, again, other = (notebook.odd_sounds(16_000, seed) for seed in (0, 0, 1))
    assert {wave.shape for wave in first.values()} == {(8 * 16_000,)}
    assert not first.pop("silence").any()
    for name, wave in first.items():
        assert 0 < np.abs(wave).max() < 1
        np.testing.assert_array_equal(wave, again[name])
        assert (wave != other[name]).any()


def test_the_end_lists_the_files_and_records_what_made_them(book, tmp_path):
    source = tmp_path / "captions.txt"
    source.write_text("A dog barks\n")
    book.table(pd.DataFrame({"a": [1]}), "numbers")
    drawn = book.figure(Figure(), "empty")
    assert drawn.data == (book.reports / "figures" / "empty.png").read_bytes()
    shown = book.finish([source], following="03_next", note="hello").data
    listed = [line[3:-1] for line in shown.splitlines() if line.startswith("- ")]
    assert all((book.reports / file).is_file() for file in listed)
    assert listed == [
        "tables/numbers.csv",
        "tables/numbers.md",
        "figures/empty.png",
        "run.json",
    ]
    assert "(03_next.ipynb)" in shown
    record = read_records(book.reports, "notebooks")["00_test"]
    assert record["profile"] == "smoke" and record["seed"] == 3
    assert record["note"] == "hello"
    assert list(record["inputs"]) == [str(source)]
