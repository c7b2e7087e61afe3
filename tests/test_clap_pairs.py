from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles_clap import tiny_clap_config, write_clips

from drcap.clap.micro_batches import share
from drcap.clap.pairs import Draws, augment, batches
from drcap.config import CLAPTrainingConfig, SpecAugmentConfig
from drcap.errors import ConfigError

SETTINGS = tiny_clap_config("unused").front_end


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


@pytest.mark.parametrize("step", [1, 3, 5, 9])
def test_batches_from_any_step_on_are_those_of_the_whole_run(step):
    assert list(batches(step, 9, 10, 3, seed=0)) == list(batches(0, 9, 10, 3, 0))[step:]


def test_another_seed_gives_another_order():
    assert list(batches(0, 3, 10, 3, seed=0)) != list(batches(0, 3, 10, 3, seed=1))


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_processes_share_a_batch_without_gap_or_overlap(count):
    settings = CLAPTrainingConfig(batch_size=20, micro_batch=3)
    shares = [share(settings, index, count) for index in range(count)]
    rows = [row for part in shares for rows in part for row in range(20)[rows]]
    assert rows == list(range(20))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_more_processes_than_micro_batches_are_refused():
    settings = CLAPTrainingConfig(batch_size=64, micro_batch=64)
    with pytest.raises(ConfigError, match="into 1, too few for 2 processes; lower it"):
        share(settings, 0, 2)


# crops and captions


def test_a_draw_is_a_crop_of_its_clip_and_one_of_its_captions(clips):
    from drcap.audio import load

    draws = Draws(clips, SETTINGS, seed=0)
    for number, clip in enumerate(clips):
        drawn, row, crop = draws[2, number]
        assert drawn == number and draws.captions[row] in clip.captions
        assert crop.shape == (SETTINGS.samples,) and crop.dtype == np.float32
        waveform = load(clip.path, SETTINGS.sr)
        if len(waveform) <= SETTINGS.samples:
            np.testing.assert_array_equal(crop[: len(waveform)], waveform)
            assert not crop[len(waveform) :].any()
        else:
            views = np.lib.stride_tricks.sliding_window_view(waveform, len(crop))
            assert (views == crop).all(axis=1).any()


def test_crops_and_captions_change_from_epoch_to_epoch(clips):
    draws = Draws(clips, SETTINGS, seed=0)
    twice = next(number for number, clip in enumerate(clips) if len(clip.captions) == 2)
    assert len({draws[epoch, twice][1] for epoch in range(20)}) == 2
    sizes = [clip.path.stat().st_size for clip in clips]
    longest = int(np.argmax(sizes))
    assert len({draws[epoch, longest][2].tobytes() for epoch in range(5)}) > 1


def test_records_of_one_clip_are_the_same_clip(clips):
    other = replace(clips[0], captions=("another caption",))
    namesake = replace(clips[0], dataset="another")
    draws = Draws([clips[0], clips[1], other, namesake], SETTINGS, seed=0)
    assert draws.identities.tolist() == [0, 1, 0, 2]


def test_the_next_clip_takes_the_place_of_an_unreadable_one(clips, tmp_path, capsys):
    missing = replace(clips[3], path=tmp_path / "nowhere.wav")
    draws = Draws([*clips[:3], missing, *clips[4:]], SETTINGS, seed=0)
    for _ in range(2):
        clip, row, crop = draws[0, 3]
        assert clip == 4 and draws.captions[row] in clips[4].captions
        np.testing.assert_array_equal(crop, draws[0, 4][2])
    assert capsys.readouterr().err.count("nowhere.wav: no such file") == 1


# augmentation


def blanked(settings, seed=0, step=0, first=0, count=50):
    log_mels = torch.zeros(count, 40, 16)
    augment(log_mels, 1 + torch.arange(16.0), settings, seed, step, first)
    return log_mels


def test_stripes_of_time_cover_all_bands_with_what_they_are_filled_with():
    settings = SpecAugmentConfig(time_stripes=2, time_width=5, mel_stripes=0)
    widths = []
    for log_mel in blanked(settings):
        frames = log_mel[:, 0] != 0
        assert (log_mel[frames] == 1 + torch.arange(16.0)).all()
        assert (log_mel[~frames] == 0).all()
        widths.append(int(frames.sum()))
    assert max(widths) <= 10 and min(widths) <= 2 and len(set(widths)) > 4


def test_stripes_of_bands_cover_all_frames():
    settings = SpecAugmentConfig(time_stripes=0, mel_stripes=1, mel_width=3)
    for log_mel in blanked(settings):
        bands = log_mel[0] != 0
        assert (log_mel == log_mel[0]).all() and bands.sum() <= 3
        places = bands.nonzero().flatten()
        assert len(places) == 0 or places[-1] - places[0] == len(places) - 1


def test_a_pairs_stripes_depend_on_its_place_in_the_batch_alone():
    settings = SpecAugmentConfig(time_width=5, mel_width=3)
    whole = blanked(settings, count=6)
    torch.testing.assert_close(blanked(settings, first=4, count=2), whole[4:])
    assert not torch.equal(whole, blanked(settings, step=1, count=6))
    assert not torch.equal(whole, blanked(settings, seed=1, count=6))


def test_stripes_wider_than_the_spectrogram_stay_inside():
    assert blanked(SpecAugmentConfig(time_width=500, mel_width=500)).shape[1:] == (
        40,
        16,
    )


NO_STRIPES = {"time_stripes": 0, "mel_stripes": 0}


def test_a_roll_keeps_every_frame_and_their_round():
    log_mels = torch.arange(12.0).repeat(30, 1)[..., None].repeat(1, 1, 4)
    augment(
        log_mels, torch.zeros(4), SpecAugmentConfig(roll=True, **NO_STRIPES), 0, 0, 0
    )
    steps = (log_mels - log_mels.roll(1, 1)) % 12
    assert (steps == 1).all()
    assert len({int(log_mel[0, 0]) for log_mel in log_mels}) > 6


def test_a_gain_moves_all_of_a_spectrogram_by_no_more_than_it_says():
    log_mels = torch.zeros(200, 5, 4)
    augment(
        log_mels, torch.zeros(4), SpecAugmentConfig(gain=6.0, **NO_STRIPES), 0, 0, 0
    )
    levels = log_mels[:, 0, 0]
    assert (log_mels == levels[:, None, None]).all()
    assert levels.abs().max() <= 6 and levels.min() < -5 and levels.max() > 5
