"""The hub, by a local stand-in that has its routes and keeps what it is sent."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from doubles_hub import COMMIT, ID, Hub, serving

from drcap.config import Config, override
from drcap.errors import CheckpointError
from drcap.systems import drcap, hub

RECORD = {
    "started": "2026-01-02T03:04:05+00:00",
    "seed": 7,
    "git": {"commit": "abc123", "changed": False},
    "inputs": {"my_captions.txt": "0123456789abcdef"},
    "machine": {"cpu": "A Processor", "accelerators": []},
    "steps_done": 12,
}


@pytest.fixture
def server(tmp_path, monkeypatch):
    with serving(tmp_path / "hub", monkeypatch) as hub:
        yield hub


@pytest.fixture
def model(tmp_path):
    """What `push` needs of a DRCap: a configuration, and files to save."""
    folder = tmp_path / "model"
    (folder / "adapter").mkdir(parents=True)
    (folder / "mapper.safetensors").write_bytes(b"mapper")
    (folder / "adapter" / "adapter.safetensors").write_bytes(b"adapter")
    (folder / "run.json").write_text(json.dumps(RECORD))

    def save(target):
        shutil.copytree(folder, target, dirs_exist_ok=True)
        (target / "run.json").unlink()

    return SimpleNamespace(config=Config(), folder=folder, save_pretrained=save)


def test_a_model_comes_down_as_it_went_up(server, model):
    assert drcap.DRCap.push_to_hub(model, ID).endswith(f"/{ID}/commit/{COMMIT}")
    folder = drcap._find(ID)
    files = (path for path in folder.rglob("*") if path.is_file())
    assert sorted(path.relative_to(folder).as_posix() for path in files) == [
        "README.md",
        "adapter/adapter.safetensors",
        "mapper.safetensors",
        "run.json",
    ]
    assert (folder / "adapter/adapter.safetensors").read_bytes() == b"adapter"
    assert json.loads((folder / "run.json").read_text()) == RECORD


def test_the_card_says_what_the_record_says(server, model):
    hub.push(model, ID)
    card = server.files["README.md"].decode()
    assert card.startswith("---\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n")
    for text in (
        'DRCap.from_pretrained("user/barks")',
        "my_captions.txt",
        "abc123",
        "0.75 to 0.85",
        "(Apache-2.0)",
    ):
        assert text in card
    (model.folder / "run.json").unlink()  # a model without a record has a card, too
    model.config = override(Config(), {"captioner": {"language_model": "some/llm"}})
    card = hub.model_card(model.folder, ID, model.config)
    assert "base_model: some/llm" in card and "abc123" not in card


def test_a_clap_of_its_own_goes_with_it(server, model, tmp_path):
    (tmp_path / "my-clap").mkdir()
    (tmp_path / "my-clap" / "weights").write_bytes(b"clap")
    model.config = replace(model.config, clap=str(tmp_path / "my-clap"))
    hub.push(model, ID)
    assert server.files["clap/weights"] == b"clap"
    assert json.loads(server.files["config.json"])["clap"] == "clap"


def test_what_cannot_go_up_is_one_line(server, model, tmp_path, monkeypatch):
    monkeypatch.setattr(Hub, "refuses", True)
    with pytest.raises(CheckpointError, match=f"^{ID}: not uploaded .*403[^\n]*$"):
        hub.push(model, ID)
    name = {"captioner": {"language_model": str(tmp_path)}}
    model.config = override(Config(), name)
    with pytest.raises(CheckpointError, match="language_model: .* is no id"):
        hub.push(model, ID)
