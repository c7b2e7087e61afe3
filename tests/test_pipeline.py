import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from torch.nn import functional as F

from drcap import model_folder, pipeline
from drcap.captioner.model import Captioner
from drcap.config import (
    CaptionerConfig,
    Config,
    GenerationConfig,
    RetrievalConfig,
    override,
)
from drcap.errors import AudioError, CheckpointError, ConfigError, DatastoreError
from drcap.pipeline import DRCap
from drcap.projection import project
from drcap.retrieval import CaptionDatastore, default
from drcap.retrieval.default import default_datastore

SR = ToyCLAP.sr


def noise(seconds, seed=0, loudness=0.1):
    random = np.random.default_rng(seed)
    return (loudness * random.standard_normal(round(seconds * SR))).astype(np.float32)


@pytest.fixture
def model(language_model, tmp_path, monkeypatch):
    """A DRCap on doubles; its default captions are the toy ones, kept in tmp_path."""
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        default, "default_captions", lambda count, seed: TOY_CAPTIONS[:count]
    )
    monkeypatch.setattr(pipeline, "load_clap", lambda name: ToyCLAP())
    config = Config(
        captioner=CaptionerConfig(language_model),
        generation=GenerationConfig(num_beams=2, max_new_tokens=8, batch_size=2),
    )
    torch.manual_seed(0)
    captioner = Captioner.create(ToyCLAP.dim, config.captioner, torch.float32)
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
    seen, generate = [], pipeline.generate

    def watched(captioner, embeddings, similar_captions, config):
        seen.append((embeddings, similar_captions))
        return generate(captioner, embeddings, similar_captions, config)

    monkeypatch.setattr(pipeline, "generate", watched)
    return seen


@pytest.fixture
def no_decoding(monkeypatch):
    monkeypatch.setattr(pipeline, "generate", None)


# recordings in, results out


def test_one_recording_gives_one_result(model, recordings):
    result = model.caption(recordings[0])
    assert result.file == str(recordings[0]) and result.caption
    assert model.caption(str(recordings[0])).caption == result.caption
    assert result.error is result.warning is None
    assert len(result.similar_captions) == 3


def test_a_list_gives_a_list_in_its_order(model, recordings):
    order = [recordings[row] for row in (3, 0, 5, 1, 2, 4, 0)]
    results = model.caption(order)
    assert [result.file for result in results] == [str(path) for path in order]
    alone = [model.caption(path).caption for path in order]
    assert [result.caption for result in results] == alone
    assert len(set(alone)) > 1
    assert model.caption(recordings[:1])[0].caption == alone[1]
    assert model.caption([]) == []


def test_results_appear_group_by_group(model, recordings, decoded):
    stream = model.caption_stream(recordings)
    next(stream)
    assert [len(embeddings) for embeddings, _ in decoded] == [4]


def test_a_waveform_is_captioned_as_its_file_is(model, tmp_path):
    waveform = noise(2)
    soundfile.write(tmp_path / "a.wav", waveform, SR, subtype="FLOAT")
    from_file = model.caption(tmp_path / "a.wav")
    for array in (waveform, waveform.astype(np.float64)):
        result = model.caption(array)
        assert result.file is None
        assert result.caption == from_file.caption
        assert result.similar_captions == from_file.similar_captions


def test_the_time_of_a_result_is_that_of_its_stages(model, recordings):
    for result in model.caption(recordings[:3]):
        assert result.timings.keys() == {"encode", "retrieve", "project", "generate"}
        assert result.seconds == pytest.approx(sum(result.timings.values()), abs=1e-4)


# what cannot be captioned


def test_one_bad_recording_raises(model, tmp_path):
    with pytest.raises(AudioError, match="absent.wav: no such file"):
        model.caption(tmp_path / "absent.wav")


def test_a_bad_recording_in_a_list_is_reported_and_the_rest_completes(
    model, recordings, tmp_path
):
    (tmp_path / "bad.wav").write_text("no audio")
    bad, absent = tmp_path / "bad.wav", tmp_path / "absent.wav"
    results = model.caption([bad, recordings[0], absent, recordings[1]])
    assert [result.caption is None for result in results] == [True, False] * 2
    assert results[0].error.startswith(f"{bad}: is damaged or not audio")
    assert results[2].error.startswith(f"{absent}: no such file")
    assert results[1].caption == model.caption(recordings[0]).caption


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.array([0, np.nan, 1]), "holds NaN or infinite samples"),
        (np.array([0, -np.inf, 1]), "holds NaN or infinite samples"),
        (np.zeros((2, 100)), r"expected \(n,\) samples, got \(2, 100\)"),
        (np.zeros(0), r"expected \(n,\) samples, got \(0,\)"),
        (np.ones(100, np.int16), r"expected float samples in \[-1, 1\], got int16"),
    ],
)
def test_a_waveform_that_cannot_be_is_refused(model, waveform, message):
    with pytest.raises(AudioError, match=f"waveform: {message}"):
        model.caption(waveform)
    (result,) = model.caption([waveform])
    assert result.caption is None and result.error


def test_silence_is_named_with_a_warning_and_nothing_is_invented(
    model, tmp_path, no_decoding
):
    soundfile.write(tmp_path / "a.wav", np.zeros(SR), SR)
    from_file, from_array = model.caption([tmp_path / "a.wav", np.zeros(SR)])
    assert from_file.caption == from_array.caption == "Silence"
    assert from_file.warning == f"{tmp_path / 'a.wav'}: silent, so no event is named"
    assert from_array.warning.startswith("waveform: silent")
    assert from_file.similar_captions == [] and from_file.error is None


def test_a_silent_recording_keeps_its_place_among_others(model, recordings):
    results = model.caption([recordings[0], np.zeros(SR), recordings[1]])
    assert [result.caption == "Silence" for result in results] == [False, True, False]
    assert results[2].caption == model.caption(recordings[1]).caption


# long recordings


def windows_mean(waveform, *spans):
    total = sum(
        (stop - start) * ToyCLAP().encode_audio([waveform[start * SR : stop * SR]])[0]
        for start, stop in spans
    )
    return F.normalize(total, dim=0)


@pytest.fixture
def embed(model, tmp_path):
    """Embed a waveform as a file and as an array."""

    def embed(waveform):
        soundfile.write(tmp_path / "long.wav", waveform, SR, subtype="FLOAT")
        return model.embed(tmp_path / "long.wav"), model.embed(waveform)

    return embed


def test_a_long_recording_is_the_mean_of_its_windows_by_duration(embed):
    waveform = np.concatenate([noise(10), np.cumsum(noise(10, 1)) / 50, noise(4, 2)])
    expected = windows_mean(waveform, (0, 10), (10, 20), (20, 24))
    for embedding in embed(waveform):
        torch.testing.assert_close(embedding, expected)


def test_a_tail_under_a_second_is_left_out(embed):
    waveform = np.concatenate([noise(10), np.cumsum(noise(0.9, 1))])
    for embedding in embed(waveform):
        torch.testing.assert_close(embedding, windows_mean(waveform, (0, 10)))


def test_a_silent_window_is_left_out(embed):
    waveform = np.concatenate([noise(10), np.zeros(10 * SR), noise(5, 2)])
    waveform = waveform.astype(np.float32)
    for embedding in embed(waveform):
        expected = windows_mean(waveform, (0, 10), (20, 25))
        torch.testing.assert_close(embedding, expected)


@pytest.fixture
def authors_style(model):
    """The same model, told to read recordings as the authors' code does."""
    style = {"captioner": {"style": "authors"}}
    return DRCap(model.clap, model.captioner, override(model.config, style))


def test_in_the_authors_style_only_the_beginning_of_one_channel_is_read(
    authors_style, tmp_path
):
    left, right = noise(14), np.cumsum(noise(14, 1)) / 50
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([left, right], axis=1), SR, subtype="FLOAT")
    expected = windows_mean(left, (0, 10))
    torch.testing.assert_close(authors_style.embed(path), expected)
    torch.testing.assert_close(authors_style.embed(left), expected)
    short = authors_style.embed(left[:8_000])
    torch.testing.assert_close(short, ToyCLAP().encode_audio([left[:8_000]])[0])


def test_in_the_authors_style_a_bad_recording_is_still_reported(
    authors_style, tmp_path
):
    [result] = authors_style.caption([tmp_path / "absent.wav"])
    assert "no such file" in result.error


# the switches of the ablations


def test_retrieved_captions_and_the_projected_embedding_reach_the_captioner(
    model, recordings, decoded
):
    result = model.caption(recordings[0])
    (embeddings, texts), raw = decoded[0], model.embed(recordings[0])[None]
    support = default_datastore(model.clap).embeddings
    torch.testing.assert_close(embeddings, project(raw, support, ToyCLAP.temperature))
    assert texts == [[match.caption for match in result.similar_captions]]
    similarities = (raw @ torch.from_numpy(support).T)[0]
    best = [TOY_CAPTIONS[row] for row in similarities.argsort(descending=True)[:3]]
    assert texts == [best]


def test_without_retrieval_no_captions_enter_the_prompt(model, recordings, decoded):
    result = model.caption(recordings[0], retrieval=False)
    assert result.similar_captions == [] and decoded[0][1] == [[]]


def test_no_captions_may_be_asked_for(model, recordings, decoded):
    assert model.caption(recordings[0], top_k=0).similar_captions == []
    assert decoded[0][1] == [[]]
    assert len(model.caption(recordings[0], top_k=5).similar_captions) == 5


def test_without_projection_the_embedding_is_passed_as_it_is(
    model, recordings, decoded
):
    model.caption(recordings[0], projection=False)
    torch.testing.assert_close(decoded[0][0][0], model.embed(recordings[0]))


def test_without_retrieval_and_projection_no_captions_are_loaded(
    model, recordings, monkeypatch
):
    monkeypatch.setattr(pipeline, "default_datastore", None)
    assert model.caption(recordings[0], retrieval=False, projection=False).caption


def test_the_temperature_of_the_projection_may_be_set(model, recordings, decoded):
    model.caption(recordings[0], temperature=1e-6)
    nearest = default_datastore(model.clap).search(
        model.embed(recordings[0])[None], top_k=1
    )[0][0]
    expected = model.clap.encode_text([nearest.caption])[0]
    torch.testing.assert_close(decoded[0][0][0], expected, atol=1e-4, rtol=0)


def test_the_configuration_decides_where_a_call_says_nothing(
    model, recordings, decoded
):
    config = Config(model.config.clap, retrieval=RetrievalConfig(top_k=1))
    quiet = DRCap(model.clap, model.captioner, config)
    assert len(quiet.caption(recordings[0]).similar_captions) == 1
    assert len(quiet.caption(recordings[0], top_k=2).similar_captions) == 2


def test_an_impossible_setting_is_named(model, recordings):
    with pytest.raises(ConfigError, match="generation.num_beams must be above 0"):
        model.caption(recordings[0], num_beams=0)


# captions to retrieve from and to project onto


def test_another_datastore_changes_the_retrieved_captions(model, recordings, decoded):
    rain = CaptionDatastore.build([t for t in TOY_CAPTIONS if "Rain" in t], model.clap)
    before = model.caption(recordings[0], projection=False)
    after = model.caption(recordings[0], projection=False, datastore=rain)
    assert all("Rain" in match.caption for match in after.similar_captions)
    assert before.similar_captions != after.similar_captions
    torch.testing.assert_close(decoded[0][0], decoded[1][0])


def test_another_support_changes_only_the_projection(model, recordings, decoded):
    rain = CaptionDatastore.build([t for t in TOY_CAPTIONS if "Rain" in t], model.clap)
    model.caption(recordings[0])
    model.caption(recordings[0], support=rain)
    assert decoded[0][1] == decoded[1][1]
    expected = project(
        model.embed(recordings[0])[None], rain.embeddings, ToyCLAP.temperature
    )
    torch.testing.assert_close(decoded[1][0], expected)


def test_an_empty_datastore_is_not_replaced_by_the_default_one(model, recordings):
    empty = CaptionDatastore([], np.zeros((0, 32)), model.clap.fingerprint)
    assert model.caption(recordings[0], datastore=empty).similar_captions == []
    with pytest.raises(ConfigError, match="support is empty"):
        model.caption(recordings[0], support=empty)


@pytest.mark.parametrize("place", ["datastore", "support"])
def test_captions_of_another_encoder_are_refused(model, recordings, place):
    foreign = CaptionDatastore.build(TOY_CAPTIONS, ToyCLAP("another-clap"))
    with pytest.raises(DatastoreError, match="embedded by another-clap, not by toy-cl"):
        model.caption(recordings[0], **{place: foreign})


def test_the_default_captions_are_encoded_once_and_kept(model, recordings):
    model.caption(recordings[0])
    model.caption(recordings[1])
    assert model.clap.encoded_captions == len(TOY_CAPTIONS)
    later = ToyCLAP()
    assert default_datastore(later).captions == TOY_CAPTIONS
    assert later.encoded_captions == 0
    other = ToyCLAP("another-clap")
    assert default_datastore(other).encoder == "another-clap"
    assert other.encoded_captions == len(TOY_CAPTIONS)


def test_a_configured_sample_is_the_default_collection(model, recordings):
    small = DRCap(model.clap, model.captioner, Config(captions=2))
    assert len(small.caption(recordings[0]).similar_captions) == 2
    assert model.clap.encoded_captions == 2


def test_captions_of_its_own_come_before_the_default_ones(
    model, recordings, decoded, monkeypatch
):
    monkeypatch.setattr(pipeline, "default_datastore", None)
    rain = CaptionDatastore.build([t for t in TOY_CAPTIONS if "Rain" in t], model.clap)
    support = np.concatenate([rain.embeddings[:2], rain.embeddings[:1]])
    own = DRCap(
        model.clap, model.captioner, model.config, datastore=rain, support=support
    )
    result = own.caption(recordings[0])
    assert all("Rain" in match.caption for match in result.similar_captions)
    expected = project(model.embed(recordings[0])[None], support, ToyCLAP.temperature)
    torch.testing.assert_close(decoded[0][0], expected)
    cats = CaptionDatastore.build([t for t in TOY_CAPTIONS if "cat" in t], model.clap)
    result = own.caption(recordings[0], datastore=cats, support=cats)
    assert all("cat" in match.caption for match in result.similar_captions)
    assert not torch.allclose(decoded[0][0], decoded[1][0])


# checkpoints


@pytest.fixture
def saved(model, tmp_path):
    model.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


def test_a_saved_model_captions_as_before(model, saved, recordings):
    expected = [result.caption for result in model.caption(recordings)]
    loaded = DRCap.from_pretrained(saved, device="cpu")
    assert loaded.config == model.config
    assert [result.caption for result in loaded.caption(recordings)] == expected


def test_a_saved_model_keeps_captions_of_its_own(model, tmp_path, recordings):
    rain = CaptionDatastore.build([t for t in TOY_CAPTIONS if "Rain" in t], model.clap)
    own = DRCap(
        *(model.clap, model.captioner, model.config),
        **{"datastore": rain, "support": rain.embeddings[:4]},
    )
    own.save_pretrained(tmp_path / "own")
    loaded = DRCap.from_pretrained(tmp_path / "own", device="cpu")
    assert loaded.datastore.captions == rain.captions
    assert np.array_equal(loaded.support, own.support)
    [first, second] = [each.caption(recordings[0]) for each in (own, loaded)]
    assert (first.caption, first.similar_captions) == (
        *(second.caption, second.similar_captions),
    )


def test_a_support_of_another_width_is_refused(model, saved):
    model_folder.write_support(saved, np.ones((3, 5), np.float32))
    with pytest.raises(CheckpointError, match=r"expected \(N, 32\) .* found \(3, 5\)"):
        DRCap.from_pretrained(saved, device="cpu")


def test_a_saved_model_holds_nothing_frozen(saved, language_model):
    size = sum(path.stat().st_size for path in saved.rglob("*") if path.is_file())
    assert size < 40_000 < Path(language_model, "model.safetensors").stat().st_size


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=f"{tmp_path / 'no'}: neither a folder"):
        DRCap.from_pretrained(tmp_path / "no")


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(
        CheckpointError, match="config.json: missing; not a saved DRCap"
    ):
        DRCap.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected keys and values"),
        ('{"captioner": {"lora_rank": 8}}', "captioner.lora_rank: unknown key"),
        ('{"retrieval": {"top_k": -1}}', "retrieval.top_k must be 0 or more"),
    ],
)
def test_a_damaged_configuration_is_named(saved, text, message):
    (saved / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=f"{saved / 'config.json'}: .*{message}"):
        DRCap.from_pretrained(saved)


def test_a_checkpoint_of_an_unknown_clap_is_named(model, saved, monkeypatch):
    monkeypatch.undo()  # the real load_clap
    config = json.loads((saved / "config.json").read_text())
    (saved / "config.json").write_text(json.dumps(config | {"clap": "laion"}))
    with pytest.raises(ConfigError, match="clap: unknown model 'laion'"):
        DRCap.from_pretrained(saved)
