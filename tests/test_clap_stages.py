"""A profile's model is trained once, on clips that the overlap filter let through."""

import dataclasses

import numpy as np
import pytest
import torch
from doubles import ToyCLAP
from doubles_clap import tiny_clap_config, tiny_text_encoder, write_clips

from drcap.audio import load
from drcap.clap import stages
from drcap.clap.model import CLAPModel, TrainedCLAP


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 4)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return tiny_clap_config(tiny_text_encoder(tmp_path_factory.mktemp("text")))


def test_clips_are_embedded_with_all_their_captions(clips):
    clap = ToyCLAP()
    found = stages.embed_clips(clips, clap, progress=False)
    assert found.clip_of_text.tolist() == [0, 1, 1, 2, 3, 3]
    captions = [caption for clip in clips for caption in clip.captions]
    np.testing.assert_allclose(found.text, clap.encode_text(captions), atol=1e-6)
    np.testing.assert_array_equal(found.first_text, found.text[[0, 1, 3, 4]])
    waves = [load(clip.path, clap.sr) for clip in clips]
    np.testing.assert_allclose(found.audio, clap.encode_audio(waves), atol=1e-5)
    assert 0 <= found.scores()["audio_to_text"]["R@1"] <= 1


def test_a_run_folder_belongs_to_one_configuration_and_one_set_of_clips(clips, config):
    folder = stages.run_folder("clap-test", config, clips)
    assert folder == stages.run_folder("clap-test", config, clips)
    assert folder.name.startswith("clap-test-seed-0-")
    other = dataclasses.replace(config, dim=8)
    assert folder != stages.run_folder("clap-test", other, clips)
    assert folder != stages.run_folder("clap-test", config, clips[:-1])


def test_an_untrained_model_keeps_the_statistics_and_draws_its_weights(config):
    trained = TrainedCLAP(CLAPModel(config))
    mean = np.arange(config.front_end.mels, dtype=np.float32)
    trained.model.normalisation.running_mean.copy_(torch.from_numpy(mean))
    one, same, other = (stages.untrained_clap(trained, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.model.normalisation.running_mean, mean)
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert one.fingerprint != trained.fingerprint
