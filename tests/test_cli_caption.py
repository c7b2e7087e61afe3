import json
import warnings

import pytest
from doubles_cli import FakeDRCap

from drcap.retrieval import CaptionDatastore
from drcap.systems import timeline
from drcap.systems.drcap import DRCap
from drcap.systems.timeline import Segment


@pytest.fixture
def model(monkeypatch):
    model = FakeDRCap()
    monkeypatch.setattr(DRCap, "from_pretrained", model.from_pretrained)
    return model


@pytest.fixture
def recordings(tmp_path):
    for name in ("dog", "bad", "cat"):
        (tmp_path / f"{name}.wav").touch()
    return tmp_path


def test_each_file_is_a_line_of_name_and_caption(model, recordings, drcap):
    dog, cat = recordings / "dog.wav", recordings / "cat.wav"
    code, out, err = drcap("caption", dog, cat)
    assert code == 0
    assert out == f"{dog}\tA dog makes a sound\n{cat}\tA cat makes a sound\n"
    assert "captioning: 100%" in err
    assert model.loaded == (None, "auto")  # by default the captioner chooses
    assert set(model.settings.values()) == {None}


def test_a_bad_or_missing_file_is_reported_while_the_rest_completes(
    model, recordings, drcap
):
    code, out, err = drcap("caption", recordings, recordings / "no.wav")
    captions = [line.split("\t")[1] for line in out.splitlines()]
    assert (code, captions) == (2, ["A cat makes a sound", "A dog makes a sound"])
    assert f"drcap: {recordings / 'bad.wav'}: is not audio" in err
    assert f"{recordings / 'no.wav'}: " in err


def test_json_is_one_object_a_line(model, recordings, drcap):
    (recordings / "silent.wav").touch()
    code, out, err = drcap("caption", "--json", recordings / "dog.wav", recordings)
    first, second, third, *_, silent = map(json.loads, out.splitlines())
    assert code == 2
    assert first == {
        "file": str(recordings / "dog.wav"),
        "caption": "A dog makes a sound",
        "similar_captions": [{"caption": "A dog calls", "similarity": 0.75}],
        "seconds": 0.25,
    }
    assert second.keys() == {"file", "error"}
    assert third["caption"] == "A cat makes a sound"
    assert silent["warning"] == f"{recordings / 'silent.wav'}: silent"
    assert f"drcap: {silent['warning']}" in err


def test_results_appear_as_they_are_done(model, recordings, drcap, capsys):
    seen = []
    original = model.caption_stream

    def watched(files, **settings):
        for result in original(files, **settings):
            yield result
            seen.append(capsys.readouterr().out)

    model.caption_stream = watched
    drcap("caption", recordings / "dog.wav", recordings / "cat.wav")
    assert [text.split("\t")[1] for text in seen] == [
        "A dog makes a sound\n",
        "A cat makes a sound\n",
    ]


def test_subfolders_are_searched_only_if_asked_for(model, recordings, drcap):
    (recordings / "deep").mkdir()
    (recordings / "deep/owl.wav").touch()
    assert "owl" not in drcap("caption", recordings)[1]
    assert "A owl makes" in drcap("caption", "--recursive", recordings)[1]


def test_options_reach_the_captioner(model, recordings, drcap):
    drcap(
        *("caption", "--top-k", 2, "--beams", 1, "--no-retrieval", "--no-projection"),
        *("--checkpoint", "mine", "--device", "cpu", recordings),
    )
    assert model.loaded == ("mine", "cpu")
    assert (model.settings["top_k"], model.settings["num_beams"]) == (2, 1)
    assert model.settings["retrieval"] is model.settings["projection"] is False
    drawing = ("--sample", "--temperature", 0.5, "--top-p", 0.9, "--seed", 3)
    drcap("caption", "--choice", "mbr", *drawing, recordings)
    keys = ("choice", "sample", "sampling_temperature", "top_p", "seed")
    drawn = [model.settings[key] for key in keys]
    assert drawn == ["mbr", True, 0.5, 0.9, 3]


def test_the_libraries_keep_quiet(model, recordings, drcap, monkeypatch):
    from transformers.utils import logging

    def noisy(checkpoint=None, device="auto"):
        warnings.warn("deprecated", FutureWarning, stacklevel=1)
        logging.get_logger("transformers.noisy").warning("a word of advice")
        list(logging.tqdm(range(3), desc="Loading weights"))
        return model

    monkeypatch.setattr(DRCap, "from_pretrained", noisy)
    with warnings.catch_warnings():
        _, _, err = drcap("caption", recordings / "dog.wav")
    logging.set_verbosity_warning()
    logging.enable_progress_bar()
    assert not any(word in err for word in ("Loading", "deprecated", "advice"))


def test_captions_of_a_file_or_of_saved_datastores_are_used(model, recordings, drcap):
    captions, dog = recordings / "captions.txt", recordings / "dog.wav"
    captions.write_text("A dog barks\nRain falls\n")
    assert drcap("caption", "--captions", captions, dog)[0] == 0
    assert model.settings["datastore"].captions == ["A dog barks", "Rain falls"]
    assert model.settings["support"] is model.settings["datastore"]
    for name, text in (("store", "A dog barks"), ("support", "Rain falls")):
        CaptionDatastore.build([text], model.clap).save(recordings / name)
    store, support = recordings / "store", recordings / "support"
    drcap("caption", "--datastore", store, "--support", support, dog)
    assert model.settings["datastore"].captions == ["A dog barks"]
    assert model.settings["support"].captions == ["Rain falls"]


def test_with_every_a_recording_is_captioned_in_time(
    model, recordings, drcap, monkeypatch
):
    def in_time(model, path, every, **settings):
        if path.stem == "bad":
            yield Segment(str(path), 0, 0, None, error=f"{path}: is not audio")
            return
        yield Segment(str(path), 0.0, 2 * every, "A dog barks, twice")
        yield Segment(str(path), 2 * every, 2.5 * every, "Rain & wind")

    monkeypatch.setattr(timeline, "caption_in_time", in_time)
    dog, bad = recordings / "dog.wav", recordings / "bad.wav"
    first = "00:00:00.000\t00:00:20.000\tA dog barks, twice"
    code, out, err = drcap("caption", dog, bad, "--every", 10)
    assert code == 2 and f"drcap: {bad}: is not audio" in err
    assert out.splitlines()[0] == f"{dog}\t{first}"
    out = drcap("caption", dog, bad, "--every", 10, "--json")[1]
    *_, second, failed = map(json.loads, out.splitlines())
    assert second == {
        "file": str(dog),
        "start": 20,
        "end": 25,
        "caption": "Rain & wind",
    }
    assert failed["error"] == f"{bad}: is not audio"
    expected = {
        "csv": f'file,start,end,caption\n{dog},0.0,20.0,"A dog barks, twice"\n',
        "srt": "1\n00:00:00,000 --> 00:00:20,000\nA dog barks, twice\n\n2\n",
        "vtt": "WEBVTT\n\n00:00:00.000 --> 00:00:20.000\nA dog barks, twice\n\n",
    }
    for name, text in expected.items():
        code, out, _ = drcap("caption", dog, "--every", 10, "--format", name)
        assert code == 0 and out.startswith(text)
        rain = "Rain &amp; wind" if name == "vtt" else "Rain & wind"
        assert out.rstrip().endswith(rain)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--captions", "c.txt", "--datastore", "d"], "--captions and --datastore"),
        (["--captions", "c.txt", "--support", "d"], "--captions and --support"),
        (["--datastore", "d", "--no-retrieval"], "--datastore and --no-retrieval"),
        (["--support", "d", "--no-projection"], "--support and --no-projection"),
        (["--top-k", "-1"], "'--top-k': Input should be"),
        (["--beams", "0"], "'--beams': Input should be"),
        (["--top-p", "0.9"], "--top-p is of draws: add --sample"),
        (["--seed", "3"], "--seed is of draws: add --sample"),
        (["--format", "srt"], "--format is of captions in time: add --every"),
        (["--every", "9", "--format", "ass"], "--format: unknown 'ass'; choose one of"),
        (["--every", "9", "--format", "srt", "a.wav"], "holds one recording, not 2"),
        (["--every", "9", "--format", "csv", "--json"], "exclude each other"),
        (["--every", "0.5"], "'--every': Input should be"),
        (["--colour"], "No such option"),
        (["--datastore", "absent"], "absent does not exist"),
        (["--captions", "absent.txt"], "absent.txt"),
    ],
)
def test_a_mistake_is_one_clear_error(model, recordings, drcap, arguments, message):
    code, out, err = drcap("caption", *arguments, recordings / "dog.wav")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_folder_without_recordings_is_named(model, tmp_path, drcap):
    code, out, err = drcap("caption", tmp_path)
    assert (code, out) == (2, "")
    assert f"drcap: {tmp_path}: holds no recordings" in err
