"""Zero-shot classification: the formula, a folder like ESC-50, what a mistake says."""

import json

import numpy as np
import pytest
import soundfile
from doubles import ToyCLAP

from drcap.clap.classify import classify
from drcap.errors import ConfigError

TONES = {"dog": 300, "church_bells": 1_500, "rain": 4_000}  # Hz


class ToneCLAP(ToyCLAP):
    """A recording is the sentence of the label whose tone it holds."""

    temperature = 0.2

    def encode_audio(self, waveforms):
        tones = np.array(list(TONES.values()))
        heard = [
            np.abs(np.fft.rfft(wave)).argmax() * self.sr / len(wave)
            for wave in waveforms
        ]
        names = [list(TONES)[np.abs(tones - tone).argmin()] for tone in heard]
        return self.encode_text([f"The sound of {n.replace('_', ' ')}" for n in names])


@pytest.fixture
def clap(monkeypatch):
    clap, asked = ToneCLAP(), []
    monkeypatch.setattr(
        "drcap.load.load_clap", lambda *given: asked.append(given) or clap
    )
    clap.asked = asked
    return clap


@pytest.fixture
def esc50(tmp_path):
    """Return a folder in ESC-50's layout: three clips, two labels exchanged."""
    (tmp_path / "audio").mkdir()
    (tmp_path / "meta").mkdir()
    rows = ["filename,fold,category"]
    exchanged = {"dog": "rain", "rain": "dog"}
    for name, hertz in TONES.items():
        seconds = np.arange(16_000) / 16_000
        wave = 0.5 * np.sin(2 * np.pi * hertz * seconds)
        soundfile.write(tmp_path / "audio" / f"1-{name}.wav", wave, 16_000)
        rows.append(f"1-{name}.wav,1,{exchanged.get(name, name)}")
    (tmp_path / "meta" / "esc50.csv").write_text("\n".join(rows))
    return tmp_path


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "labels.txt").write_text("rain\ndog\n\nchurch_bells\ndog\n")
    return tmp_path / "labels.txt"


def test_probabilities_are_a_softmax_over_the_labels_sentences(esc50):
    clap, names = ToneCLAP(), ["rain", "dog", "church_bells"]
    [result] = classify([esc50 / "audio/1-dog.wav"], names, clap, "Noise of {}!")
    text = clap.encode_text(
        ["Noise of rain!", "Noise of dog!", "Noise of church bells!"]
    )
    audio = clap.encode_text(["The sound of dog"])[0]
    logits = text.double().numpy() @ audio.double().numpy() / clap.temperature
    expected = np.exp(logits) / np.exp(logits).sum()
    shares = dict(result.labels)
    np.testing.assert_allclose([shares[name] for name in names], expected, rtol=1e-4)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_each_file_is_a_line_and_bad_files_are_reported(clap, esc50, labels, drcap):
    (esc50 / "audio/2-bad.wav").write_bytes(b"no audio")
    soundfile.write(esc50 / "audio/3-silent.wav", np.zeros(16_000), 16_000)
    gone, given = esc50 / "gone.wav", ["--labels", labels, "--device", "cpu"]
    code, out, err = drcap("classify", esc50 / "audio", gone, *given, "--top", 2)
    lines = [line.split("\t") for line in out.splitlines()]
    assert code == 2 and clap.asked == [("caption-bridge", "cpu", "fastest")]
    files = ("1-church_bells", "1-dog", "1-rain", "3-silent")
    assert [line[0] for line in lines] == [f"{esc50}/audio/{n}.wav" for n in files]
    best = [[label.split()[0] for label in line[1:]] for line in lines]
    assert [names[:1] for names in best] == [["church_bells"], ["dog"], ["rain"], []]
    assert len(best[0]) == 2
    for complaint in ("2-bad.wav: ", "gone.wav: no such file", "3-silent.wav: silent"):
        assert complaint in err
    code, out, _ = drcap("classify", esc50 / "audio/1-dog.wav", *given, "--json")
    record = json.loads(out)
    assert code == 0 and record["file"].endswith("1-dog.wav")
    assert next(iter(record["labels"])) == "dog" and len(record["labels"]) == 3
    assert sum(record["labels"].values()) == pytest.approx(1)


def test_the_accuracy_on_esc50_is_over_the_clips_that_can_be_read(clap, esc50, drcap):
    code, out, _ = drcap("classify", "--esc50", esc50)
    assert (code, out) == (0, "accuracy 0.333 over 3 clips, 0 failed\n")
    (esc50 / "audio/1-rain.wav").unlink()
    code, out, err = drcap("classify", "--esc50", esc50, "--json", "--clap", "mine")
    assert json.loads(out) == {"accuracy": 0.5, "clips": 2, "failed_clips": 1}
    assert code == 2 and "1-rain.wav: no such file" in err
    assert clap.asked[-1] == ("mine", "auto", "fastest")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give recordings and --labels FILE, or --esc50 DIR"),
        (["a.wav"], "give recordings and --labels FILE, or --esc50 DIR"),
        (["a.wav", "--labels", "labels.txt", "--esc50", "."], "or --esc50 DIR alone"),
        (["a.wav", "--labels", "none.txt"], "none.txt: no such file"),
        (["--esc50", "elsewhere"], "elsewhere/meta/esc50.csv: no such file"),
        (["--esc50", "empty"], "empty/meta/esc50.csv: lists no clips"),
        (["a.wav", "--labels", "labels.txt", "--template", "x"], "must stand for the"),
    ],
)
def test_a_mistake_is_one_clear_error(
    clap, labels, tmp_path, monkeypatch, drcap, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty/meta").mkdir(parents=True)
    (tmp_path / "empty/meta/esc50.csv").write_text("filename,category\n")
    (tmp_path / "a.wav").touch()
    code, out, err = drcap("classify", *arguments)
    assert (code, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_a_template_without_a_place_for_the_label_is_refused():
    with pytest.raises(ConfigError, match="template 'x'"):
        next(classify([], ["dog"], ToneCLAP(), "x"))
