from dataclasses import replace
from types import SimpleNamespace

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


def test_it_prints_every_section_and_what_differs_from_the_paper(book):
    text = str(book)
    settings = " ".join(text.split())
    assert "steps 4 (paper: 40000)" in settings
    assert "lora_dropout 0.05," in settings  # the paper's own: no remark
    assert "captions 400," in settings  # the paper's are not counted
    assert "language_model_blocks 6" in settings  # the paper's: all
    for section in ("captioner", "retrieval", "training", "versions"):
        assert f"\n{section} " in text
    assert max(map(len, text.splitlines())) <= 79


def test_a_setting_that_is_left_out_at_its_default_is_printed_beside_the_papers(book):
    changes = {"captioner": {"quantisation": "nf4"}}
    changed = replace(book, config=override(book.config, changes))
    assert "quantisation nf4 (paper: none)" in " ".join(str(changed).split())


def test_the_clap_models_configuration_is_printed_as_well(tmp_path):
    settings = configs.clap_profile
    text = str(notebook.start("01_test", "demo", 4, str(tmp_path), settings))
    words = " ".join(text.split())
    assert "seed 4" in words and "depths 2+2+2+2 (paper: 2+2+6+2)" in words
    assert "spec_augment (enabled True, roll" in words
    assert "\naudio_encoder  width 48 (paper: 96)" in text
    assert max(map(len, text.splitlines())) <= 79


def test_smoke_takes_the_first_few_recordings_of_a_folder(book, tmp_path):
    for name in "edcba":
        (tmp_path / f"{name}.wav").touch()
    names = [path.name for path in book.recordings(str(tmp_path))]
    assert names == ["a.wav", "b.wav", "c.wav"]


def test_a_run_folder_belongs_to_one_configuration(book):
    other = override(book.config, {"training": {"steps": 7}})
    assert book.run_folder("ss", book.config) == book.run_folder("ss", book.config)
    assert book.run_folder("ss", book.config) != book.run_folder("ss", other)
    assert "00_test-smoke-seed-3-ss" in book.run_folder("ss", book.config).name


def test_a_table_is_kept_in_full_precision_and_shown_rounded(book):
    shown = book.table(pd.DataFrame({"loss": [2.123456]}), "losses", "In nats.")
    tables = book.reports / "tables"
    assert pd.read_csv(tables / "losses.csv").loss[0] == 2.123456
    page = (tables / "losses.md").read_text()
    assert shown.data == page
    assert "2.12 |" in page and "2.123" not in page
    assert page.endswith("In nats. Profile smoke, seed 3.\n")


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


def test_a_player_appears_only_if_asked_for(tmp_path):
    clip = tmp_path / "clip.wav"
    clip.write_bytes(b"RIFF")
    assert notebook.play(clip, listen=False) is None
    assert notebook.play(clip, listen=True).data == b"RIFF"


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
