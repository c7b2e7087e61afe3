"""The joint space embeds and retrieves once, and answers from the cache after that."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap.data.clip import Clip
from drcap.errors import DatastoreError
from drcap.joint_space import WINDOWS, JointSpace


class CountingCLAP(ToyCLAP):
    """Counts the waveforms that it reads, and has frames of two channels."""

    waveforms = 0

    def encode_audio(self, waveforms):
        self.waveforms += len(waveforms)
        return super().encode_audio(waveforms)

    def frames(self, waveforms):
        self.waveforms += len(waveforms)
        return torch.stack([torch.full((5, 2), float(len(w))) for w in waveforms])

    def log_mels(self, waveforms):
        return torch.zeros(len(waveforms), 7, 3)


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def space():
    return JointSpace(CountingCLAP(), TOY_CAPTIONS[:20])


@pytest.fixture
def clips(tmp_path):
    """Two recordings of noise, the second longer than a window, and a silent one."""
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 12)
    sounds = [noise[:16_000], noise, np.zeros(16_000)]
    names = [tmp_path / f"{number}.wav" for number in range(3)]
    for name, samples in zip(names, sounds, strict=True):
        soundfile.write(name, samples, 16_000)
    return [
        Clip(name.stem, "toy", "test", Path(name), None, ("A dog",)) for name in names
    ]


def again(space):
    """Return the space as another process finds it."""
    return JointSpace(CountingCLAP(), space.captions)


def test_captions_of_the_space_are_encoded_once(space):
    captions = [TOY_CAPTIONS[3], f" {TOY_CAPTIONS[0]}", TOY_CAPTIONS[3]]
    expected = ToyCLAP().encode_text([text.strip() for text in captions]).numpy()
    np.testing.assert_array_equal(space.text(captions), expected)
    later = again(space)
    np.testing.assert_array_equal(later.text(captions), expected)
    assert later.clap.encoded_captions == 0


def test_a_caption_that_is_not_in_the_space_is_an_error_that_names_it(space):
    with pytest.raises(DatastoreError, match="lacks the caption 'A whale sings'"):
        space.text([TOY_CAPTIONS[0], "A whale sings"])


def test_recordings_are_encoded_once_and_a_silent_one_is_zeros(space, clips):
    audio = space.audio(clips)
    norms = audio.norm(dim=1)
    torch.testing.assert_close(norms, torch.tensor([1.0, 1.0, 0.0]))
    later = again(space)
    assert torch.equal(later.audio(clips), audio)
    assert later.clap.waveforms == 0
    later.audio(clips[:2])
    assert later.clap.waveforms > 0


def test_similar_captions_are_searched_once_and_none_is_found_for_silence(space, clips):
    audio = space.audio(clips)
    plain = space.similar(clips, 3)
    assert plain == space.datastore.search(audio, 3)
    assert [len(matches) for matches in plain] == [3, 3, 0]
    withheld = [match.caption for matches in plain for match in matches[:1]]
    expected = space.datastore.search(audio, 3, exclude=withheld)
    assert space.similar(clips, 3, exclude=withheld) == expected != plain
    later = again(space)
    assert later.similar(clips, 3, exclude=withheld[::-1]) == expected
    assert later.clap.waveforms == 0


def test_frames_and_log_mels_cover_the_same_windows(space, clips):
    frames = space.frames(clips)
    assert space.frame_shape == (5 * WINDOWS, 2)
    assert space.log_mel_shape == (7 * WINDOWS, 3)
    assert frames.shape == (3, *space.frame_shape)
    assert space.log_mels(clips).shape == (3, *space.log_mel_shape)
    assert frames[1, 0, 0] == 160_000 and frames[1, 5, 0] != frames[1, 10, 0]
    later = again(space)
    assert torch.equal(later.frames(clips), frames) and later.clap.waveforms == 0
