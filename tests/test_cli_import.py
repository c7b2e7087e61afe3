import json
from functools import partial

import numpy as np
import pytest
import soundfile
from doubles_authors import CAPTIONS, SMALL, SMALL_ROBERTA, write_released

from drcap.authors import captioner
from drcap.systems.drcap import DRCap


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_released(tmp_path_factory.mktemp("released"))


@pytest.fixture
def command(files, language_model, monkeypatch, drcap):
    """Run `drcap import authors`; return its exit code, stdout and stderr."""
    small = {"config": SMALL, "text_architecture": SMALL_ROBERTA}
    load = partial(captioner.load_authors, **small)
    monkeypatch.setattr(captioner, "load_authors", load)

    def run(output, **changes):
        options = {
            "clap": files / "best_model.pt",
            "mapper": files / "model.pt",
            "lora": files / "bin",
            "support": files / "support.pt",
            "captions": files / "captions.txt",
            "output": output,
            "language-model": language_model,
            "tokenizer": files / "tokenizer",
            "device": "cpu",
        } | changes
        given = [
            text
            for name, value in options.items()
            if value is not None
            for text in (f"--{name}", str(value))
        ]
        return drcap("import", "authors", *given)

    return run


def test_the_folder_captions_recordings_from_the_command_line(command, tmp_path, drcap):
    output = tmp_path / "model"
    code, out, err = command(output)
    assert code == 0, err
    assert out.startswith(f"{output}: ") and " MB, to be used with " in out
    samples = np.cumsum(np.random.default_rng(0).standard_normal(32_000)) / 500
    soundfile.write(tmp_path / "a.wav", samples, 32_000)
    given = ["--checkpoint", output, "--json", "--device", "cpu", "--beams", 1]
    code, out, err = drcap("caption", tmp_path / "a.wav", *given)
    result = json.loads(out)
    assert code == 0 and result["caption"], err
    similar = [match["caption"] for match in result["similar_captions"]]
    assert len(similar) == 3 and set(similar) <= set(CAPTIONS)


def test_neither_captions_nor_the_adapters_folder_are_needed(command, files, tmp_path):
    given = {"mapper": files / "model_lora.pt", "lora": None, "captions": None}
    code, _, err = command(tmp_path / "model", **given)
    assert code == 0, err
    model = DRCap.from_pretrained(tmp_path / "model", device="cpu")
    assert model.datastore is None and model.config.captioner.lora


@pytest.mark.parametrize(
    ("option", "file", "message"),
    [
        ("mapper", "best_model.pt", "model is not a tensor"),
        ("clap", "model.pt", "no state dict called 'model'"),
        ("lora", "tokenizer", "adapter_config.json: missing"),
        ("captions", "model.pt", "captions are read from .txt"),
        ("tokenizer", "nowhere", "no model folder at"),
        ("language-model", "./nowhere", "no model folder at ./nowhere"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_code_2_and_loses_nothing(
    command, files, tmp_path, option, file, message
):
    output = tmp_path / "model"
    output.mkdir()
    given = file if file.startswith("./") else files / file
    code, out, err = command(output, **{option: given})
    assert (code, out) == (2, "")
    assert err.startswith("drcap: ") and err.count("\n") == 1
    assert message in err
    assert not list(output.iterdir())


def test_a_folder_with_content_is_refused_before_anything_is_read(command, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "notes.txt").write_text("mine")
    code, _, err = command(tmp_path / "model", clap="absent.pt")
    assert code == 2 and "is not empty; name another folder" in err
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
