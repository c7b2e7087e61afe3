import librosa
import numpy as np
import onnxruntime
import pytest

from drcap import assets, audio
from drcap.clap.yamnet import YAMNet, log_mel_patches

NOISE = np.random.default_rng(0).standard_normal(48_000).astype(np.float32) / 10
CALLS = {
    "cat": {"Cat", "Meow", "Purr", "Caterwaul"},
    "cow": {"Cattle, bovinae", "Moo"},
    "dog": {"Dog", "Bark", "Bow-wow", "Yip"},
    "duck": {"Duck", "Quack"},
    "frog": {"Frog", "Croak"},
    "horse": {"Horse", "Neigh, whinny", "Clip-clop"},
    "owl": {"Owl", "Hoot"},
    "pig": {"Pig", "Oink"},
    "rooster": {"Chicken, rooster", "Crowing, cock-a-doodle-doo"},
    "sheep": {"Sheep", "Bleat"},
}


def frame_by_hand(waveform, frame):
    """Return the log-mel frame that starts at 10 ms * frame, zeros beyond the end."""
    piece = waveform[160 * frame : 160 * frame + 400]
    piece = np.pad(piece, (0, 400 - len(piece)))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    magnitudes = np.abs(np.fft.rfft(np.pad(piece * window, (0, 112))))
    return np.log(mel_filters() @ magnitudes + 1e-6)


def mel_filters():
    """Triangles over 64 bands, equally wide on the HTK mel scale."""
    edges = librosa.mel_frequencies(66, fmin=125, fmax=7500, htk=True)
    hertz = np.arange(257) * 16_000 / 512
    return np.array(
        [
            np.clip(np.minimum((hertz - a) / (b - a), (c - hertz) / (c - b)), 0, None)
            for a, b, c in zip(edges, edges[1:], edges[2:], strict=False)
        ]
    )


@pytest.mark.parametrize(
    ("samples", "patches"),
    [
        (1, 1),
        (399, 1),
        (15_600, 1),  # 400 + 95 * 160: a patch to the sample
        (15_601, 2),
        (23_280, 2),  # 48 frames more
        (23_281, 3),
        (48_000, 6),
    ],
)
def test_patches_of_096_s_cover_all_samples_at_a_hop_of_048_s(samples, patches):
    waveform = NOISE[:samples]
    cut = log_mel_patches(waveform)
    assert (cut.shape, cut.dtype) == ((patches, 96, 64), np.float32)
    for patch in {0, patches - 1}:
        for frame in (0, 50, 95):
            by_hand = frame_by_hand(waveform, 48 * patch + frame)
            np.testing.assert_allclose(cut[patch, frame], by_hand, atol=1e-4)


def test_neighbouring_patches_share_half_of_their_frames():
    patches = log_mel_patches(NOISE)
    np.testing.assert_array_equal(patches[0, 48:], patches[1, :48])


@pytest.mark.parametrize("hertz", [250, 1000, 4000])
def test_a_sine_is_loudest_in_its_mel_band(hertz):
    sine = np.sin(2 * np.pi * hertz * np.arange(16_000) / 16_000).astype(np.float32)
    centres = librosa.mel_frequencies(66, fmin=125, fmax=7500, htk=True)[1:-1]
    loudest = log_mel_patches(sine)[0].mean(axis=0).argmax()
    assert loudest == np.abs(centres - hertz).argmin()


def test_silence_is_the_logarithm_of_the_offset():
    np.testing.assert_allclose(log_mel_patches(np.zeros(100)), np.log(1e-6), rtol=1e-6)


@pytest.fixture(scope="module")
def tagger():
    return YAMNet(assets.asset_path("yamnet"))


@pytest.mark.slow
def test_animals_are_tagged_with_their_classes(tagger):
    folder = assets.asset_path("animal-recordings")
    named = 0
    for animal, classes in CALLS.items():
        tags = tagger.tag(audio.load(folder / f"{animal}.mp3", 16_000)).mean(axis=0)
        top = {tagger.class_names[index] for index in tags.argsort()[-3:]}
        named += bool(top & classes)
    assert named >= 6


@pytest.mark.slow
def test_no_sum_of_8_bit_products_overflows(tagger):
    plain = onnxruntime.SessionOptions()  # node by node, the products in float32
    plain.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    reference = YAMNet(assets.asset_path("yamnet"))
    session = onnxruntime.InferenceSession(reference.model_path, plain)
    reference.__dict__["_model"] = (session, tagger._model[1])
    folder, differences = assets.asset_path("animal-recordings"), []
    for animal in CALLS:
        wave = audio.load(folder / f"{animal}.mp3", 16_000)
        expected = reference.tag(wave)
        heard = expected > 0.1
        differences.append(np.abs(tagger.tag(wave) - expected)[heard].mean())
    assert np.mean(differences) < 0.06  # 0.03 by rounding alone, 0.13 by overflow


@pytest.mark.slow
def test_tags_are_probabilities_of_521_classes_a_patch(tagger):
    tags = tagger.tag(NOISE)
    assert tags.shape == (6, 521) and len(tagger.class_names) == 521
    assert tags.min() >= 0 and tags.max() <= 1


@pytest.mark.slow
def test_the_silence_of_a_recorder_is_tagged_as_silence(tagger):
    tags = tagger.tag(np.zeros(16_000, np.float32)).mean(axis=0)
    assert tagger.class_names[tags.argmax()] == "Silence"
