import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from safetensors.torch import load_file
from torch.nn import functional as F

from drcap import assets, audio
from drcap.clap import bridge, simulated_tags
from drcap.clap.bridge import FITTED, FOLDER, CaptionBridge, fit, read_statistics, save
from drcap.clap.simulated_tags import Simulator, class_probabilities, statistics, stem
from drcap.clap.voice import pitches, sexes_named, speakers
from drcap.clap.yamnet import CLASSES, YAMNet, pooled
from drcap.errors import CheckpointError

NAMES = ["Speech", "Dog", "Bark", "Cat", "Meow", "Rain", "Inside, small room"]
NAMES += ["Silence", "Toilet flush", "Car"]
RNG = np.random.default_rng(0)
RECORDINGS = [RNG.random((4, len(NAMES))) ** 3 for _ in range(6)]
CLASSIFIER = RNG.standard_normal((len(NAMES), 8)).astype(np.float32)


class ToySentences:
    dim = ToyCLAP.dim

    def encode(self, texts):
        return ToyCLAP().encode_text(texts)


class ToyTagger:
    class_names = NAMES

    def __init__(self, folder):
        pass

    def tag(self, waveform):
        return RECORDINGS[0].astype(np.float32)


@pytest.fixture(scope="module")
def measured():
    return statistics(RECORDINGS, CLASSIFIER, NAMES)


@pytest.fixture(scope="module")
def fitted(measured, tmp_path_factory):
    path = tmp_path_factory.mktemp("bridge") / FITTED
    options = {"steps": 25, "progress": False}
    save(fit(NAMES, TOY_CAPTIONS, ToySentences(), measured, **options), path)
    return path


@pytest.fixture
def doubles(monkeypatch):
    monkeypatch.setattr(bridge, "YAMNet", ToyTagger)
    monkeypatch.setattr(bridge, "SentenceEncoder", lambda source: ToySentences())
    monkeypatch.setattr(assets, "asset_path", lambda name: None)
    monkeypatch.setattr(assets, "resolve_model", lambda name: None)


@pytest.fixture
def model(fitted, doubles):
    return CaptionBridge(fitted)


def tone(hertz, seconds=2.0):
    """A voiced sound: harmonics of a pitch, the lower ones louder."""
    time = np.arange(round(16_000 * seconds)) / 16_000
    waves = [np.sin(2 * np.pi * hertz * n * time) / n for n in range(1, 12)]
    return (0.1 * sum(waves)).astype(np.float32)


# from a recording to its embedding


def test_recordings_are_embedded_by_the_formula_one_by_one(model, fitted):
    weights = {name: value.double() for name, value in load_file(fitted).items()}
    tags = pooled(ToyTagger(None).tag(None))
    tags[NAMES.index("Silence")] = 0
    x = torch.from_numpy(np.append(tags**1.5, [0, 0])).double()
    hidden = F.relu(weights["first.weight"] @ x + weights["first.bias"])
    expected = weights["direct.weight"] @ x + weights["direct.bias"]
    expected += weights["second.weight"] @ hidden + weights["second.bias"]
    expected = F.normalize(expected, dim=0).float()
    embedded = model.encode_audio([np.zeros(16_000, np.float32)] * 3)
    torch.testing.assert_close(embedded, expected.expand(3, -1), atol=1e-3, rtol=0)
    torch.testing.assert_close(model.encode_audio([tone(100)]), embedded[:1])
    assert model.encode_audio([]).shape == (0, model.dim)


def test_captions_are_centred_on_the_mean_of_those_fitted_to(model):
    rows = ToySentences().encode(list(dict.fromkeys(TOY_CAPTIONS)))
    expected = F.normalize(rows - rows.mean(0), dim=1)
    embedded = model.encode_text(list(dict.fromkeys(TOY_CAPTIONS)))
    torch.testing.assert_close(embedded, expected, atol=1e-5, rtol=1e-5)


def test_a_fit_depends_on_its_seed_alone_and_so_does_the_fingerprint(
    fitted, model, measured, tmp_path
):
    for seed in (0, 1):
        options = {"steps": 25, "progress": False, "seed": seed}
        tensors = fit(
            NAMES, [*TOY_CAPTIONS, *TOY_CAPTIONS], ToySentences(), measured, **options
        )
        save(tensors, tmp_path / "again")
        same = CaptionBridge(tmp_path / "again").fingerprint == model.fingerprint
        assert same == (seed == 0)
        assert tensors["first.weight"].dtype == torch.float16


def test_what_a_caption_would_sound_like_is_placed_near_it(model):
    captions = ["A dog barks", "A cat meows", "Rain falls"]
    tags = torch.zeros(3, len(NAMES))
    for row, names in enumerate((["Dog", "Bark"], ["Cat", "Meow"], ["Rain"])):
        tags[row, [NAMES.index(name) for name in names]] = 0.8
    embedded = model.embed(tags, torch.zeros(3, 2))
    similarities = embedded @ model.encode_text(captions).T
    assert similarities.argmax(1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("content", [None, b"damaged", "another"])
def test_a_fitted_file_that_cannot_be_read_is_named(doubles, tmp_path, content):
    path = tmp_path / FITTED
    if content == "another":
        save({"text_mean": torch.zeros(3)}, path)
    elif content is not None:
        path.write_bytes(content)
    message = f"{path}: not of a fitted bridge .*; refit it with `drcap train bridge`"
    with pytest.raises(CheckpointError, match=message):
        CaptionBridge(path)


# simulated tags


@pytest.mark.parametrize(
    "word", ["bark", "barks", "barking", "barked", "chirp", "flushes", "flushing"]
)
def test_a_stem_is_that_of_all_forms_of_a_word(word):
    assert stem(word) == next(s for s in ("bark", "chirp", "flush") if s in word)


def test_classes_are_guessed_from_a_captions_words():
    captions = ["A dog barking", "Someone talks as a toilet is flushed", "Silence"]
    mean = ToySentences().encode(captions).mean(0)
    likely = class_probabilities(captions, NAMES, ToySentences(), mean)
    assert likely.shape == (3, len(NAMES)) and likely.dtype == np.float32
    for row, names in enumerate((["Dog", "Bark"], ["Speech", "Toilet flush"])):
        assert (likely[row, [NAMES.index(name) for name in names]] >= 0.9).all()
    assert 0 <= likely.min() and likely.max() <= 1


def test_tags_are_drawn_with_confusions_backgrounds_and_speakers(measured):
    simulator = Simulator(NAMES, measured)
    likely = np.zeros((4000, len(NAMES)), np.float32)
    likely[:2000, NAMES.index("Dog")] = 1
    likely[2000:, NAMES.index("Speech")] = 1
    named = np.tile([1.0, 0.0], (4000, 1)).astype(np.float32)
    tags, sexes = simulator.draw(likely, named, np.random.default_rng(0))
    assert tags.shape == likely.shape and tags.dtype == sexes.dtype == np.float32
    assert 0 <= tags.min() and tags.max() <= 0.95
    dog, speech = tags[:2000], tags[2000:]
    levels = np.quantile(dog[:, NAMES.index("Dog")], [0.5, 0.9])
    np.testing.assert_allclose(levels, [0.38, 0.74], atol=0.04)
    assert speech[:, 0].min() >= 0.3
    neighbour = int(measured["neighbours"][NAMES.index("Dog"), 0])
    assert dog[:, neighbour].mean() > 0.05  # Dog is on alone
    assert 0.4 < sexes[2000:, 0].mean() < 0.9 and sexes[:, 1].mean() < 0.1
    again = simulator.draw(likely, named, np.random.default_rng(0))
    np.testing.assert_array_equal(again[0], tags)


def test_confusions_are_measured_where_a_class_leads():
    tags = np.full((50, len(NAMES)), 0.001)
    dog, bark = NAMES.index("Dog"), NAMES.index("Bark")
    tags[:, dog], tags[:, bark] = 0.8, 0.6
    classifier = CLASSIFIER.copy()
    classifier[bark] = classifier[dog]
    measured = statistics([tags, tags], classifier, NAMES)
    place = measured["neighbours"][dog].tolist().index(bark)
    assert place == 0
    expected = 0.75  # of 2 x 50 x .8^2 patches against 3 of a usual share
    assert abs(float(measured["shares"][dog, place]) - expected) < 0.05
    silence = NAMES.index("Silence")
    assert not measured["backgrounds"][:, silence].any()


# voices


def test_pitch_and_words_tell_men_from_women_and_the_unsure():
    speech = np.tile(np.eye(len(NAMES))[0] * 0.9, (4, 1)).astype(np.float32)
    for hertz, expected in ((110, [1, 0]), (210, [0, 1]), (350, [0, 0])):
        np.testing.assert_array_equal(speakers(tone(hertz), speech, NAMES), expected)
        pitch, strength, energy = pitches(tone(hertz))
        np.testing.assert_allclose(np.median(pitch), hertz, rtol=0.03)
        assert strength.min() > 0.6 and energy.min() > 0
    covered = speech.copy()
    covered[:, NAMES.index("Rain")] = 0.95
    noise = np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    for wave, tags in ((tone(110), covered), (tone(110, 0.2), speech), (noise, speech)):
        np.testing.assert_array_equal(speakers(wave, tags, NAMES), [0, 0])
    captions = ["A man speaks", "Women and men talk", "A human shouts", "She sings"]
    expected = [[1, 0], [1, 1], [0, 0], [0, 1]]
    np.testing.assert_array_equal(sexes_named(captions), expected)


# what is shipped


def test_the_shipped_fit_and_statistics_are_those_of_yamnet():
    tensors = load_file(FOLDER / FITTED)
    assert tensors["direct.weight"].shape == (384, 523)
    assert tensors["text_mean"].dtype == torch.float32
    shapes = {name: tuple(t.shape) for name, t in read_statistics().items()}
    neighbours = 521, simulated_tags.NEIGHBOURS
    assert shapes["neighbours"] == shapes["shares"] == neighbours
    assert shapes["backgrounds"][1] == 521


@pytest.mark.slow
def test_every_class_spoken_of_by_name_is_one_of_yamnets():
    known = set(YAMNet(assets.asset_path("yamnet")).class_names)
    names = [*CLASSES["plain_names"], *CLASSES["umbrellas"]]
    assert {*names, *CLASSES["synonyms"].values()} <= known


@pytest.mark.slow
def test_a_recorded_dog_is_nearest_to_the_caption_of_a_dog():
    real = CaptionBridge()
    captions = [
        "A dog barks",
        "A cat meows",
        "Rain falls on a roof",
        "An engine idles",
        "A man gives a speech",
        "Birds chirp in a forest",
    ]
    recording = assets.asset_path("animal-recordings") / "dog.mp3"
    embedding = real.encode_audio([audio.load(recording, real.sr)])
    similarities = embedding @ real.encode_text(captions).T
    assert captions[similarities.argmax()] == "A dog barks"
    torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(1))
