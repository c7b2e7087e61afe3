import os
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from doubles_clap import SR, tiny_clap_config, write_clips

from drcap import audio, paths
from drcap.clap.front_end import LogMel
from drcap.clap.pairs import Draws, batches, keep_log_mels, log_mel_of
from drcap.errors import AudioError, DatasetError

SETTINGS = tiny_clap_config("unused").front_end
FRONT_END = LogMel(SETTINGS)
HALF = 2**-5  # a step of float16 between 32 and 64 dB


pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_clips(tmp_path_factory.mktemp("clips"), 8)


# batches


def test_an_epoch_sees_each_clip_once_at_most_and_says_which_it_is():
    drawn = list(batches(0, 9, 10, 3, seed=0))
    for epoch in range(3):
        pairs = [pair for batch in drawn[3 * epoch : 3 * epoch + 3] for pair in batch]
        assert {number for number, _ in pairs} == {epoch}
        assert len({clip for _, clip in pairs}) == 9
    assert drawn[:3] != [[(0, clip) for _, clip in batch] for batch in drawn[3:6]]
    assert drawn[:3] != list(batches(0, 3, 10, 3, seed=1))
    for step in (1, 3, 5, 9):  # of a resumed run
        assert list(batches(step, 9, 10, 3, seed=0)) == drawn[step:]


# crops and captions


def test_a_draw_is_a_crop_of_its_clip_and_one_of_its_captions(clips):
    draws = Draws(clips, FRONT_END, seed=0)
    for number, clip in enumerate(clips):
        drawn, row, crop = draws[2, number]
        assert drawn == number and draws.captions[row] in clip.captions
        assert crop.shape == (SETTINGS.frames, SETTINGS.mels)
        assert crop.dtype == np.float32
        whole = log_mel_of(clip.path, FRONT_END).astype(np.float32)
        starts = range(len(whole) - len(crop) + 1)
        assert any(np.array_equal(whole[n : n + len(crop)], crop) for n in starts)
    other = Draws(clips, FRONT_END, 0, keep=False)[2, 0]
    assert other[:2] == draws[2, 0][:2]
    np.testing.assert_array_equal(other[2], draws[2, 0][2])


def test_crops_and_captions_change_from_epoch_to_epoch(clips):
    draws = Draws(clips, FRONT_END, seed=0)
    twice = next(number for number, clip in enumerate(clips) if len(clip.captions) == 2)
    assert len({draws[epoch, twice][1] for epoch in range(20)}) == 2
    longest = int(np.argmax([clip.path.stat().st_size for clip in clips]))
    assert len({draws[epoch, longest][2].tobytes() for epoch in range(5)}) > 1


def test_records_of_one_clip_are_the_same_clip(clips):
    other = replace(clips[0], captions=("another caption",))
    namesake = replace(clips[0], dataset="another")
    draws = Draws([clips[0], clips[1], other, namesake], FRONT_END, seed=0)
    assert draws.identities.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize("cached", [False, True])
def test_the_next_clip_takes_the_place_of_an_unreadable_one(
    clips, tmp_path, capsys, cached
):
    missing = replace(clips[3], path=tmp_path / "nowhere.wav")
    draws = Draws([*clips[:3], missing, *clips[4:]], FRONT_END, 0, cached)
    for _ in range(2):
        clip, row, crop = draws[0, 3]
        assert clip == 4 and draws.captions[row] in clips[4].captions
        np.testing.assert_array_equal(crop, draws[0, 4][2])
    assert capsys.readouterr().err.count("nowhere.wav: no such file") == 1
    with pytest.raises(DatasetError, match="none can be read"):
        Draws([missing], FRONT_END, 0, cached)


# log-mels that are kept


def direct(waveform):
    with torch.inference_mode():
        return FRONT_END(torch.from_numpy(waveform)[None])[0].numpy()


def test_kept_log_mels_are_the_front_ends(clips):
    for clip in clips:
        waveform = audio.load(clip.path, SR)
        waveform = audio.fit_length(waveform, max(len(waveform), SETTINGS.samples))
        stored = log_mel_of(clip.path, FRONT_END)
        assert stored.dtype == np.float16 and len(stored) >= SETTINGS.frames
        np.testing.assert_allclose(stored, direct(waveform), atol=HALF)


def test_a_crop_is_the_log_mel_of_that_stretch_but_for_its_edges(clips):
    path = max((clip.path for clip in clips), key=lambda path: path.stat().st_size)
    start = 9  # frames
    stretch = audio.load(path, SR)[start * SETTINGS.hop :][: SETTINGS.samples]
    crop = log_mel_of(path, FRONT_END)[start : start + SETTINGS.frames]
    inner = slice(1, SETTINGS.frames - 1)  # the window reaches beyond the first, last
    np.testing.assert_allclose(crop[inner], direct(stretch)[inner], atol=HALF)


def test_log_mels_are_computed_once_and_anew_for_other_settings_or_files(tmp_path):
    recordings = [clip.path for clip in write_clips(tmp_path / "audio", 2)]
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(b"not audio")

    def kept(settings=SETTINGS):
        keep_log_mels([*recordings, damaged], LogMel(settings))
        return len(list((paths.home() / "log-mels").iterdir()))

    assert kept() == kept() == 2
    assert kept(replace(SETTINGS, floor=1e-8)) == 4
    soundfile.write(recordings[0], np.zeros(SR), SR)
    assert kept() == 5
    os.utime(recordings[1], (1, 1))
    assert kept() == 6
    with pytest.raises(AudioError, match="damaged.wav"):
        log_mel_of(damaged, FRONT_END)
