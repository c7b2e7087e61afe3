"""DRCap on recordings and on embedded clips: the same captions, whoever asks."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from torch.nn import functional as F

from drcap import assets, audio, paths
from drcap.captioner.model import Captioner, write_support
from drcap.config import CaptionerConfig, Config, GenerationConfig, override
from drcap.data.clip import Clip
from drcap.errors import AudioError, CheckpointError, ConfigError, DatastoreError
from drcap.joint_space import JointSpace
from drcap.projection import project
from drcap.retrieval import CaptionDatastore, default
from drcap.retrieval.default import default_datastore
from drcap.systems import drcap
from drcap.systems.base import SILENCE, ClipBatch
from drcap.systems.drcap import DRCap
from drcap.systems.predictions import caption_dataset

SR = ToyCLAP.sr


def noise(seconds, seed=0):
    random = np.random.default_rng(seed)
    return (0.1 * random.standard_normal(round(seconds * SR))).astype(np.float32)


def build(word, clap):
    """A datastore of the toy captions with a word."""
    return CaptionDatastore.build([t for t in TOY_CAPTIONS if word in t], clap)


@pytest.fixture(scope="module")
def captioner(language_model):
    torch.manual_seed(0)
    settings = CaptionerConfig(language_model)
    return Captioner.create(ToyCLAP.dim, settings, torch.float32)


@pytest.fixture
def model(captioner, tmp_path, monkeypatch):
    """A DRCap on doubles; its default captions are the toy ones, kept in tmp_path."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        default, "default_captions", lambda count, seed: TOY_CAPTIONS[:count]
    )
    monkeypatch.setattr(drcap, "load_clap", lambda name: ToyCLAP())
    generation = GenerationConfig(num_beams=2, max_new_tokens=8, batch_size=2)
    config = Config(captioner=captioner.config, generation=generation)
    return DRCap(ToyCLAP(), captioner, config)


@pytest.fixture
def recordings(tmp_path):
    """Six recordings of different sounds; more than one group of them."""
    for number in range(6):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, np.cumsum(noise(1, number)) / 10 ** (number % 3), SR)
    return [tmp_path / f"{number}.wav" for number in range(6)]


@pytest.fixture
def decoded(monkeypatch):
    """What reached the captioner: lists of embeddings and of retrieved captions."""
    seen, generate = [], drcap.generate_beams

    def watched(captioner, embeddings, similar_captions, config):
        texts = generate(captioner, embeddings, similar_captions, config)
        seen.append((embeddings, similar_captions, texts))
        return texts

    monkeypatch.setattr(drcap, "generate_beams", watched)
    return seen


# recordings in, results out


def test_a_list_gives_a_list_in_its_order_group_by_group(model, recordings, decoded):
    order = [recordings[row] for row in (3, 0, 5, 1, 2, 4, 0)]
    results = model.caption(order)
    assert [len(embeddings) for embeddings, *_ in decoded] == [4, 3]
    assert [result.file for result in results] == [str(path) for path in order]
    alone = [model.caption(str(path)) for path in order]
    assert [r.caption for r in results] == [r.caption for r in alone]
    assert len({result.caption for result in alone}) > 1
    for result in (*results, *alone):
        assert result.error is result.warning is None and result.seconds > 0
        assert len(result.similar_captions) == 3
    assert model.caption(recordings[:1])[0].caption == alone[1].caption
    assert model.caption([]) == []


def test_a_waveform_is_captioned_as_its_file_is(model, tmp_path):
    waveform = noise(2)
    soundfile.write(tmp_path / "a.wav", waveform, SR, subtype="FLOAT")
    from_file = model.caption(tmp_path / "a.wav")
    for array in (waveform, waveform.astype(np.float64)):
        result = model.caption(array)
        assert result.file is None
        assert result.caption == from_file.caption
        assert result.similar_captions == from_file.similar_captions


def test_a_bad_recording_raises_alone_and_in_a_list_the_rest_completes(
    model, recordings, tmp_path
):
    bad, absent = tmp_path / "bad.wav", tmp_path / "absent.wav"
    bad.write_text("no audio")
    with pytest.raises(AudioError, match="absent.wav: no such file"):
        model.caption(absent)
    results = model.caption([bad, recordings[0], absent, recordings[1]])
    assert [result.caption is None for result in results] == [True, False] * 2
    assert results[0].error.startswith(f"{bad}: is ") and bad.exists()
    assert results[2].error.startswith(f"{absent}: no such file")
    assert results[1].caption == model.caption(recordings[0]).caption
    [result] = model.caption([np.array([0, np.nan, 1])])
    assert result.error.startswith("waveform: holds NaN")


def test_silence_is_named_with_a_warning_and_keeps_its_place(
    model, recordings, tmp_path, decoded
):
    soundfile.write(tmp_path / "a.wav", np.zeros(SR), SR)
    from_file, from_array = model.caption([tmp_path / "a.wav", np.zeros(SR)])
    assert from_file.caption == from_array.caption == SILENCE and not decoded
    assert from_file.warning == f"{tmp_path / 'a.wav'}: silent, so no event is named"
    assert from_array.warning.startswith("waveform: silent")
    assert from_file.similar_captions == [] and from_file.error is None
    results = model.caption([recordings[0], np.zeros(SR), recordings[1]])
    assert [result.caption == SILENCE for result in results] == [False, True, False]
    assert results[2].caption == model.caption(recordings[1]).caption


def test_a_long_recording_is_the_mean_of_its_audible_windows(model, tmp_path):
    other, silence = np.cumsum(noise(10, 1)) / 50, np.zeros(10 * SR, np.float32)
    for parts, spans in (
        ([noise(10), other, noise(4, 2)], [(0, 10), (10, 20), (20, 24)]),
        ([noise(10), np.cumsum(noise(0.9, 1)) / 50], [(0, 10)]),  # too short a tail
        ([noise(10), silence, noise(5, 2)], [(0, 10), (20, 25)]),
        ([silence], []),
    ):
        waveform = np.concatenate(parts)
        soundfile.write(tmp_path / "long.wav", waveform, SR, subtype="FLOAT")
        windows = [(b - a, waveform[a * SR : b * SR]) for a, b in spans]
        weighted = [n * ToyCLAP().encode_audio([wave])[0] for n, wave in windows]
        expected = F.normalize(sum(weighted, torch.zeros(ToyCLAP.dim)), dim=0)
        for recording in (tmp_path / "long.wav", waveform):
            torch.testing.assert_close(model.embed(recording), expected)


def test_in_the_authors_style_only_the_beginning_of_one_channel_is_read(
    model, tmp_path
):
    style = {"captioner": {"style": "authors"}}
    authors = model.adjusted(override(model.config, style))
    left, right = noise(14), np.cumsum(noise(14, 1)) / 50
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), SR, subtype="FLOAT")
    [expected, short] = ToyCLAP().encode_audio([left[: 10 * SR], left[:8_000]])
    torch.testing.assert_close(authors.embed(path), expected)
    torch.testing.assert_close(authors.embed(left), expected)
    torch.testing.assert_close(authors.embed(left[:8_000]), short)
    [result] = authors.caption([tmp_path / "absent.wav"])
    assert "no such file" in result.error


# one decode path


def paths_of(model, captions, recordings):
    """The results of the command, the grid and the evaluation, from the same files."""
    clips = tuple(
        Clip(str(place), "toy", "test", path, None, ("A sound is heard",))
        for place, path in enumerate(recordings)
    )
    style = {"beginning": model.config.captioner.style == "authors"}
    space = JointSpace(model.clap, captions, **style)
    grid = DRCap(model.clap, model.captioner, model.config, space=space)
    return (
        model.caption(recordings),
        grid.caption_clips(ClipBatch(clips, captions)),
        caption_dataset(model, clips).captioned,
    )


def check_same(results, silent):
    """The captions and prompts are the same, whichever way they were made."""
    for first, *others in zip(*results, strict=True):
        assert (first.caption == SILENCE) == (first.file == str(silent))
        for other in others:
            assert (other.file, other.caption) == (first.file, first.caption)
            assert [m.caption for m in other.similar_captions] == [
                match.caption for match in first.similar_captions
            ]


def test_command_grid_and_evaluation_give_the_same_captions(
    model, recordings, tmp_path
):
    silent, long = tmp_path / "silent.wav", tmp_path / "long.wav"
    soundfile.write(silent, np.zeros(SR), SR)
    soundfile.write(long, np.concatenate([noise(10), np.cumsum(noise(5, 1)) / 50]), SR)
    everything = [*recordings, silent, long]
    captions = []
    for style in ("ours", "authors"):
        style = {"captioner": {"style": style}}
        styled = model.adjusted(override(model.config, style))
        results = paths_of(styled, TOY_CAPTIONS, everything)
        check_same(results, silent)
        captions.append([result.similar_captions for result in results[0]])
    assert captions[0][:-1] == captions[1][:-1]  # all but the long one
    assert captions[0][-1] != captions[1][-1]


# captions of its own, switches


def test_retrieved_captions_and_the_projected_embedding_reach_the_captioner(
    model, recordings, decoded
):
    result = model.caption(recordings[0])
    (embeddings, texts, _), raw = decoded[0], model.embed(recordings[0])[None]
    support = default_datastore(model.clap).embeddings
    torch.testing.assert_close(embeddings, project(raw, support, ToyCLAP.temperature))
    similarities = (raw @ torch.from_numpy(support).T)[0]
    best = [TOY_CAPTIONS[row] for row in similarities.argsort(descending=True)[:3]]
    assert texts == [best] == [[match.caption for match in result.similar_captions]]


def test_options_and_else_the_configuration_decide(
    model, recordings, decoded, monkeypatch
):
    raw = model.embed(recordings[0])
    nearest = default_datastore(model.clap).search(raw[None], top_k=1)[0][0].caption
    own = model.clap.encode_text([nearest])[0]
    for options, prompt, embedding in (
        ({"top_k": 0}, 0, None),
        ({"top_k": 5}, 5, None),
        ({"retrieval": False}, 0, None),
        ({"projection": False}, 3, raw),
        ({"temperature": 1e-6}, 3, own),
    ):
        result = model.caption(recordings[0], **options)
        [embeddings], [texts], _ = decoded[-1]
        assert len(result.similar_captions) == len(texts) == prompt
        if embedding is not None:
            torch.testing.assert_close(embeddings, embedding, atol=1e-4, rtol=0)
    quiet = model.adjusted(override(model.config, {"retrieval": {"top_k": 1}}))
    assert len(quiet.caption(recordings[0]).similar_captions) == 1
    assert len(quiet.caption(recordings[0], top_k=2).similar_captions) == 2
    with pytest.raises(ConfigError, match="num_beams"):
        model.caption(recordings[0], num_beams=0)
    with pytest.raises(TypeError, match="unknown option beams"):
        model.caption(recordings[0], beams=2)
    monkeypatch.setattr(drcap, "default_datastore", None)  # is not needed
    fresh = DRCap(model.clap, model.captioner, model.config)
    assert fresh.caption(recordings[0], retrieval=False, projection=False).caption


def test_other_captions_change_what_is_retrieved_and_projected_onto(
    model, recordings, decoded
):
    rain, raw = build("Rain", model.clap), model.embed(recordings[0])[None]
    model.caption(recordings[0])
    result = model.caption(recordings[0], datastore=rain)
    assert all("Rain" in match.caption for match in result.similar_captions)
    torch.testing.assert_close(decoded[0][0], decoded[1][0])
    model.caption(recordings[0], support=rain)
    assert decoded[0][1] == decoded[2][1]
    expected = project(raw, rain.embeddings, ToyCLAP.temperature)
    torch.testing.assert_close(decoded[2][0], expected)
    empty = CaptionDatastore([], np.zeros((0, 32)), model.clap.fingerprint)
    assert model.caption(recordings[0], datastore=empty).similar_captions == []
    with pytest.raises(ConfigError, match="support is empty"):
        model.caption(recordings[0], support=empty)
    foreign = CaptionDatastore.build(TOY_CAPTIONS, ToyCLAP("another-clap"))
    for place in ("datastore", "support"):
        with pytest.raises(DatastoreError, match="by another-clap, not by toy-clap"):
            model.caption(recordings[0], **{place: foreign})


def test_the_default_captions_are_encoded_once_a_model(model, recordings):
    model.caption(recordings[0])
    model.caption(recordings[1])
    assert model.clap.encoded_captions == len(TOY_CAPTIONS)
    small = DRCap(ToyCLAP(), model.captioner, replace(model.config, captions=2))
    assert len(small.caption(recordings[0]).similar_captions) == 2


def test_captions_of_its_own_come_first_and_are_saved(
    model, recordings, decoded, monkeypatch, tmp_path
):
    monkeypatch.setattr(drcap, "default_datastore", None)
    rain, cats = build("Rain", model.clap), build("cat", model.clap)
    support = np.concatenate([rain.embeddings[:2], rain.embeddings[:1]])
    captions = {"datastore": rain, "support": support}
    own = DRCap(model.clap, model.captioner, model.config, **captions)
    first = own.caption(recordings[0])
    assert all("Rain" in match.caption for match in first.similar_captions)
    raw = model.embed(recordings[0])[None]
    expected = project(raw, support, ToyCLAP.temperature)
    torch.testing.assert_close(decoded[0][0], expected)
    other = own.caption(recordings[0], datastore=cats, support=cats)
    assert all("cat" in match.caption for match in other.similar_captions)
    own.save_pretrained(tmp_path / "own")
    loaded = DRCap.from_pretrained(tmp_path / "own", device="cpu")
    assert loaded.config == own.config and loaded.datastore.captions == rain.captions
    assert np.array_equal(loaded.support, support)
    again = loaded.caption(recordings[0])
    assert replace(again, seconds=0) == replace(first, seconds=0)


# saved models


def test_a_saved_model_holds_nothing_frozen(model, tmp_path, language_model):
    model.save_pretrained(tmp_path / "saved")
    files = [path for path in (tmp_path / "saved").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    assert size < 40_000 < Path(language_model, "model.safetensors").stat().st_size


def test_the_choice_by_expected_cider_d_is_a_switch(model, recordings, decoded):
    first = model.caption(recordings)
    chosen = model.caption(recordings, choice="mbr")
    assert [r.caption for r in model.caption(recordings)] == [r.caption for r in first]
    captions = model._default_datastore.captions
    assert {result.caption for result in chosen} <= {*captions, *beams(decoded)}
    assert [r.caption for r in chosen] != [r.caption for r in first]
    made = model._choices[0]
    model.caption(recordings[0], choice="mbr", retrieval=False)
    assert model._choices == [made]  # built once a datastore
    few = build("cat", model.clap)
    inside = model.caption(recordings, choice="mbr", datastore=few)
    assert model._choices[0].captions is few.captions
    assert {result.caption for result in inside} <= {*few.captions, *beams(decoded)}


def beams(decoded):
    return [text for *_, lists in decoded for texts in lists for text in texts]


def test_what_is_no_saved_model_is_named(model, tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path / 'no'}: neither a folder"):
        DRCap.from_pretrained(tmp_path / "no")
    with pytest.raises(CheckpointError, match="config.json: missing; not a saved DR"):
        DRCap.from_pretrained(tmp_path)
    saved = tmp_path / "saved"
    model.save_pretrained(saved)
    write_support(saved, np.ones((3, 5), np.float32))
    with pytest.raises(CheckpointError, match=r"expected \(N, 32\) .* found \(3, 5\)"):
        DRCap.from_pretrained(saved, device="cpu")
    (saved / "support.safetensors").write_text("no tensors")
    with pytest.raises(CheckpointError, match="support.safetensors: damaged"):
        DRCap.from_pretrained(saved, device="cpu")
    for text, message in (
        ("{", "not JSON"),
        ("[]", "expected keys and values"),
        ('{"captioner": {"lora_rank": 8}}', "captioner.lora_rank: unknown key"),
        ('{"retrieval": {"top_k": -1}}', "retrieval.top_k must be"),
    ):
        (saved / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=f"config.json: .*{message}"):
            DRCap.from_pretrained(saved)


def test_a_checkpoint_of_an_unknown_clap_is_named(model, tmp_path, monkeypatch):
    model.save_pretrained(tmp_path)
    monkeypatch.undo()  # the real load_clap
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"clap": "laion"}))
    with pytest.raises(ConfigError, match="clap: unknown model 'laion'"):
        DRCap.from_pretrained(tmp_path)


# the shipped model


ANIMALS = {  # the animal or its call; -s, -ing and -ed may follow
    "cat": "cat|kitten|meow|purr",
    "cow": "cow|cattle|moo",
    "dog": "dog|puppy|puppies|bark|growl",
    "duck": "duck|quack",
    "frog": "frog|croak|ribbit",
    "horse": "horse|neigh|whinny|whinnies|clip[ -]clop|gallop|trot|trotting",
    "owl": "owl|hoot",
    "pig": "pig|oink|snort",
    "rooster": "rooster|chicken|crowing|cock",
    "sheep": "sheep|lamb|bleat|baa",
}


@pytest.fixture(scope="module")
def shipped():
    return DRCap.from_pretrained()


@pytest.fixture
def animals():
    return sorted(assets.asset_path("animal-recordings").glob("*.mp3"))


@pytest.mark.slow
def test_the_three_ways_agree_on_real_recordings(
    shipped, animals, tmp_path, monkeypatch
):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "assets").symlink_to(paths.home() / "assets")
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    silent, long = tmp_path / "silent.wav", tmp_path / "long.wav"
    soundfile.write(silent, np.zeros(SR), SR)
    sounds = [audio.load(path, shipped.clap.sr) for path in animals[:4]]
    sounds = np.concatenate(sounds)
    assert len(sounds) > 1.5 * shipped.clap.sr * shipped.clap.window_seconds
    soundfile.write(long, sounds, shipped.clap.sr)
    changes = {"captions": 300, "generation": {"num_beams": 1, "max_new_tokens": 12}}
    config = override(shipped.config, changes)
    model = DRCap(shipped.clap, shipped.captioner, config)
    captions = default.default_captions(300, config.seed)
    check_same(paths_of(model, captions, [*animals, silent, long]), silent)


@pytest.mark.slow
@pytest.mark.timeout(900)  # where the datastore of all AudioCaps captions is not yet
def test_the_shipped_model_names_animals(shipped, animals):
    for options, least in (({}, 7), ({"retrieval": False}, 6)):
        captions = [result.caption for result in shipped.caption(animals, **options)]
        named = [
            re.search(rf"\b({ANIMALS[path.stem]})(s|ing|ed)?\b", caption.lower())
            for path, caption in zip(animals, captions, strict=True)
        ]
        assert len(named) == 10 and sum(map(bool, named)) >= least, captions
