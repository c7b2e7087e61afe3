import json
import warnings

import pytest
from doubles_pipeline import FakeDRCap

import drcap.cli
from drcap.pipeline import DRCap
from drcap.retrieval import CaptionDatastore


@pytest.fixture
def model(monkeypatch):
    model = FakeDRCap()

    def from_pretrained(checkpoint=None, device="auto"):
        model.loaded = (checkpoint, device)
        return model

    monkeypatch.setattr(DRCap, "from_pretrained", from_pretrained)
    return model


@pytest.fixture
def recordings(tmp_path):
    for name in ("dog", "bad", "cat"):
        (tmp_path / f"{name}.wav").touch()
    return tmp_path


@pytest.fixture
def drcap_caption(monkeypatch, capsys):
    """Run the command; return its exit code, stdout and stderr."""

    def run(*arguments):
        command = ["drcap", "caption", *map(str, arguments)]
        monkeypatch.setattr("sys.argv", command)
        with pytest.raises(SystemExit) as stopped:
            drcap.cli.main()
        printed = capsys.readouterr()
        return stopped.value.code or 0, printed.out, printed.err

    return run


def test_each_file_is_a_line_of_name_and_caption(model, recordings, drcap_caption):
    dog, cat = recordings / "dog.wav", recordings / "cat.wav"
    code, out, err = drcap_caption(dog, cat)
    assert code == 0
    assert out == f"{dog}\tA dog makes a sound\n{cat}\tA cat makes a sound\n"
    assert "captioning: 100%" in err


def test_a_bad_file_is_reported_while_the_rest_completes(
    model, recordings, drcap_caption
):
    code, out, err = drcap_caption(recordings)
    assert code == 2
    assert [line.split("\t")[1] for line in out.splitlines()] == [
        "A cat makes a sound",
        "A dog makes a sound",
    ]
    assert f"drcap: {recordings / 'bad.wav'}: is not audio" in err


def test_a_missing_file_is_reported_while_the_rest_completes(
    model, recordings, drcap_caption
):
    code, out, err = drcap_caption(recordings / "no.wav", recordings / "dog.wav")
    assert code == 2
    assert out.count("\n") == 1 and f"{recordings / 'no.wav'}: " in err


def test_json_is_one_object_a_line(model, recordings, drcap_caption):
    code, out, _ = drcap_caption("--json", recordings / "dog.wav", recordings)
    first, second, third = map(json.loads, out.splitlines())
    assert code == 2
    assert first == {
        "file": str(recordings / "dog.wav"),
        "caption": "A dog makes a sound",
        "similar_captions": [{"caption": "A dog calls", "similarity": 0.75}],
        "seconds": 0.25,
    }
    assert second.keys() == {"file", "error"}
    assert third["caption"] == "A cat makes a sound"


def test_a_silent_recording_carries_a_warning_and_succeeds(
    model, tmp_path, drcap_caption
):
    silent = tmp_path / "silent.wav"
    silent.touch()
    code, out, err = drcap_caption("--json", silent)
    assert code == 0
    assert json.loads(out)["warning"] == f"{silent}: silent"
    assert f"drcap: {silent}: silent" in err


def test_results_appear_as_they_are_done(model, recordings, drcap_caption, capsys):
    seen = []
    original = model.caption_stream

    def watched(files, **settings):
        for result in original(files, **settings):
            yield result
            seen.append(capsys.readouterr().out)

    model.caption_stream = watched
    drcap_caption(recordings / "dog.wav", recordings / "cat.wav")
    assert [text.split("\t")[1] for text in seen] == [
        "A dog makes a sound\n",
        "A cat makes a sound\n",
    ]


def test_subfolders_are_searched_only_if_asked_for(model, recordings, drcap_caption):
    deep = recordings / "deep"
    deep.mkdir()
    (deep / "owl.wav").touch()
    assert "owl" not in drcap_caption(recordings)[1]
    assert "A owl makes" in drcap_caption("--recursive", recordings)[1]


def test_by_default_the_captioner_chooses(model, recordings, drcap_caption):
    drcap_caption(recordings)
    assert model.loaded == (None, "auto")
    assert set(model.settings.values()) == {None}


def test_options_reach_the_captioner(model, recordings, drcap_caption):
    drcap_caption(
        *("--top-k", 2, "--beams", 1, "--no-retrieval", "--no-projection"),
        *("--checkpoint", "mine", "--device", "cpu", recordings),
    )
    assert model.loaded == ("mine", "cpu")
    assert (model.settings["top_k"], model.settings["num_beams"]) == (2, 1)
    assert model.settings["retrieval"] is model.settings["projection"] is False


def test_the_libraries_keep_quiet(model, recordings, drcap_caption, monkeypatch):
    from transformers.utils import logging

    def noisy(checkpoint=None, device="auto"):
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
        logging.get_logger("transformers.noisy").warning("a word of advice")
        list(logging.tqdm(range(3), desc="Loading weights"))
        return model

    monkeypatch.setattr(DRCap, "from_pretrained", noisy)
    with warnings.catch_warnings():
        _, _, err = drcap_caption(recordings / "dog.wav")
    logging.set_verbosity_warning()
    logging.enable_progress_bar()
    assert "Loading weights" not in err
    assert "deprecated" not in err and "advice" not in err


def test_a_captions_file_is_datastore_and_support(model, recordings, drcap_caption):
    captions = recordings / "captions.txt"
    captions.write_text("A dog barks\nRain falls\n")
    code, _, _ = drcap_caption("--captions", captions, recordings / "dog.wav")
    assert code == 0
    assert model.settings["datastore"].captions == ["A dog barks", "Rain falls"]
    assert model.settings["support"] is model.settings["datastore"]


def test_saved_datastores_are_loaded(model, recordings, drcap_caption):
    for name, text in (("store", "A dog barks"), ("support", "Rain falls")):
        CaptionDatastore.build([text], model.clap).save(recordings / name)
    folders = ("--datastore", recordings / "store", "--support", recordings / "support")
    drcap_caption(*folders, recordings / "dog.wav")
    assert model.settings["datastore"].captions == ["A dog barks"]
    assert model.settings["support"].captions == ["Rain falls"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--captions", "c.txt", "--datastore", "d"], "--captions and --datastore"),
        (["--captions", "c.txt", "--support", "d"], "--captions and --support"),
        (["--datastore", "d", "--no-retrieval"], "--datastore and --no-retrieval"),
        (["--support", "d", "--no-projection"], "--support and --no-projection"),
        (["--top-k", "-1"], "'--top-k': Input should be"),
        (["--beams", "0"], "'--beams': Input should be"),
        (["--colour"], "No such option"),
        (["--datastore", "absent"], "absent does not exist"),
        (["--captions", "absent.txt"], "absent.txt"),
    ],
)
def test_a_mistake_is_one_clear_error(
    model, recordings, drcap_caption, arguments, message
):
    code, out, err = drcap_caption(*arguments, recordings / "dog.wav")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_folder_without_recordings_is_named(model, tmp_path, drcap_caption):
    code, out, err = drcap_caption(tmp_path)
    assert (code, out) == (2, "")
    assert f"drcap: {tmp_path}: holds no recordings" in err
