"""The README's table, links and code are true."""

import re

import pytest
import soundfile

from drcap import assets, audio, paths
from workflow import readme

TEXT = (paths.REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_the_results_tables_are_those_in_the_reports():
    shown = ""
    for page in readme.PAGES:
        text = (paths.REPOSITORY / page).read_text(encoding="utf-8")
        assert readme.render(text) == text, page
        shown += text
    for name in readme.TABLES:  # each on one page
        assert shown.count(f"<!-- {name} results: written by") == 1


def test_every_relative_link_leads_somewhere():
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", TEXT)
    missing = [name for name in targets if not (paths.REPOSITORY / name).exists()]
    assert targets and not missing


@pytest.mark.slow
@pytest.mark.timeout(900)  # where the default datastore is not encoded yet
def test_the_python_example_captions_a_dog(tmp_path, monkeypatch, capsys):
    waveform = audio.load(assets.asset_path("animal-recordings") / "dog.mp3", 16_000)
    soundfile.write(tmp_path / "dog.wav", waveform, 16_000)
    monkeypatch.chdir(tmp_path)
    [example] = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(example, {})
    assert "dog" in capsys.readouterr().out.lower()
