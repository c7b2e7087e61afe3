"""Scenes say when each event is heard, and the sound agrees with them."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from soundscapes import dsp
from soundscapes.dsp import SR, count
from soundscapes.rendering import HEADROOM, level, render, render_event, reverberate
from soundscapes.scenes import ROOMS, PlacedEvent, Scene, compose
from soundscapes.vocabulary import VOCABULARY, classes_of

SILENT = -120.0  # dB


def scenes(number, corpus="weak", seconds=10.0):
    for index in range(number):
        yield compose(np.random.default_rng([7, index]), classes_of(corpus), seconds)


def room_of(place):
    return next(name for name, room in ROOMS.items() if room.place == place)


def scene_of(*events, seconds=6.0):
    return Scene(seconds, room_of("outdoors"), SILENT, 3, events)


def power(wave):
    return float((wave**2).mean())


def cut(wave, start, end):
    return wave[round(start * dsp.SR) : round(end * dsp.SR)]


def test_scenes_keep_to_their_own_rules():
    for scene in scenes(300):
        events = scene.events
        names = [event.name for event in events]
        assert 1 <= len(events) <= 4 and len(set(names)) == len(names)
        assert sum(event.relation == "first" for event in events) == 1
        for event in events:
            assert 0 <= event.start < event.end <= scene.seconds + 0.002
            assert VOCABULARY[event.name].place in (ROOMS[scene.room].place, "any")
            bouts = event.bouts
            assert len(bouts) == event.times and bouts[0][0] == event.start
            assert sum(bouts[-1]) == pytest.approx(event.end)


def test_groups_follow_each_other_and_their_events_overlap():
    for scene in scenes(300):
        for before, after in pairwise(scene.groups):
            assert max(e.end for e in before) < min(e.start for e in after)
        for group in scene.groups:
            if len(group) == 2:
                overlap = min(e.end for e in group) - max(e.start for e in group)
                assert overlap > 0.45 * min(event.seconds for event in group)


def test_a_background_spans_the_scene_and_is_fainter_than_the_rest():
    layered = [scene for scene in scenes(300) if scene.background is not None]
    assert len(layered) > 30
    for scene in layered:
        under = scene.background
        assert (under.start, under.seconds) == (0, scene.seconds)
        assert VOCABULARY[under.name].ambience
        others = [event for event in scene.events if event is not under]
        assert under.level <= min(event.level for event in others) - 7.9


def test_the_number_of_events_and_the_relations_vary():
    drawn = list(scenes(300))
    assert {len(scene.events) for scene in drawn} == {1, 2, 3, 4}
    relations = {event.relation for scene in drawn for event in scene.events}
    assert relations == {"first", "then", "while", "background"}
    assert {name for scene in drawn for name in (scene.room,)} == set(ROOMS)


def test_every_class_comes_first_about_as_often():
    firsts = [scene.events[0].name for scene in scenes(1_000, "ac")]
    assert set(firsts) == set(classes_of("ac"))


def test_a_rendering_is_finite_whole_and_never_clipped():
    for scene in scenes(5):
        wave = render(scene)
        assert wave.shape == (dsp.count(scene.seconds),) and wave.dtype == np.float32
        assert np.isfinite(wave).all() and np.abs(wave).max() <= HEADROOM + 1e-6
        assert level(wave) > -45


def test_many_loud_events_are_scaled_down_together():
    shots = [
        PlacedEvent("gunshot", 0.0, 2.0, "first", 1, seed, level=6.0)
        for seed in range(3)
    ]
    assert np.abs(render(scene_of(*shots))).max() == pytest.approx(HEADROOM, abs=1e-4)


@pytest.mark.parametrize("name", ["dog", "rain", "gunshot", "speech"])
def test_an_event_is_heard_in_its_window_at_its_level(name):
    event = PlacedEvent(name, 1.5, 2.5, "first", 1, 11, level=-35.0)
    wave = render_event(event)
    assert len(wave) == dsp.count(2.5) and level(wave) == pytest.approx(-35.0, abs=0.01)
    scene = replace(scene_of(event), room="open air")
    sound = render(scene)
    assert level(cut(sound, 1.5, 4.0)) == pytest.approx(-35.0, abs=1.5)
    assert level(cut(sound, 0, 1.5)) < -100 and level(cut(sound, 4.01, 6.0)) < -100


def test_what_follows_starts_after_what_comes_first_has_ended():
    checked = 0
    for scene in scenes(40, "ac"):
        for before, after in pairwise(scene.groups):
            wave = [render(replace(scene, floor=SILENT, events=(e,))) for e in after]
            begun = min(np.flatnonzero(np.abs(sound) > 1e-4)[0] for sound in wave)
            assert begun / dsp.SR > max(event.start + event.seconds for event in before)
            checked += 1
        if checked >= 3:
            return
    raise AssertionError("too few scenes of several groups")


def test_an_event_that_comes_three_times_leaves_gaps():
    event = PlacedEvent("horn", 1.0, 4.0, "first", 3, 5, level=-15.0)
    wave = render_event(event)
    for (start, seconds), (following, _) in pairwise(event.bouts):
        assert power(cut(wave, start - 1, start - 1 + seconds)) > 0
        assert power(cut(wave, start - 1 + seconds + 0.001, following - 1.001)) == 0


def test_a_level_is_that_of_the_loudest_eighth_of_a_second():
    t = np.arange(dsp.SR) / dsp.SR
    wave = np.where(t < 0.5, 1.0, 0.01) * np.sin(2 * np.pi * 440 * t)
    assert level(wave.astype(np.float32)) == pytest.approx(-3.01, abs=0.02)


def test_a_quieter_scene_event_gives_a_quieter_sound():
    loud = PlacedEvent("rain", 0.0, 6.0, "first", 1, 1, level=-35.0)
    faint = replace(loud, level=-55.0)
    ratio = power(render(scene_of(loud))) / power(render(scene_of(faint)))
    assert 10 * np.log10(ratio) == pytest.approx(20, abs=0.5)


# distance and rooms

NOISE = np.random.default_rng(0).standard_normal(count(1.0)).astype(np.float32)
CLICK = np.zeros(count(2.5), dtype=np.float32)
CLICK[0] = 1


def band_power(wave, low, high):
    hertz, density = signal.welch(wave, SR, nperseg=4_096)
    return density[(hertz >= low) & (hertz < high)].sum()


def test_a_sound_keeps_its_length_and_kind_in_every_room():
    for room in ROOMS:
        for samples in (1, 2, 1_001, 32_000):
            sound = reverberate(NOISE[:samples], room, 3.0)
            assert sound.shape == (samples,) and sound.dtype == np.float32
            assert np.isfinite(sound).all()
    assert not reverberate(np.zeros(1_000, np.float32), "hall", 5.0).any()
    np.testing.assert_array_equal(reverberate(NOISE, "open air", 1.0), NOISE)


def test_what_is_far_is_duller_and_has_more_reverberation():
    sounds = [reverberate(NOISE, "open air", d) for d in (2.0, 10.0, 50.0)]
    shares = [band_power(w, 8e3, 16e3) / band_power(w, 0, 2e3) for w in sounds]
    assert shares[0] > shares[1] > shares[2]
    tails = [reverberate(CLICK, "hall", d)[count(0.05) :] for d in (1.0, 4.0, 16.0)]
    levels = [power(tail) for tail in tails]
    assert levels[0] < levels[1] < levels[2]


@pytest.mark.parametrize("room", ["small room", "bathroom", "hall"])
def test_a_click_dies_away_by_sixty_decibels_in_the_rooms_time(room):
    """The slope of Schroeder's backward integral, as acousticians measure it."""
    tail = reverberate(CLICK, room, 1.0).astype(float)
    tail[: count(0.005)] = 0  # the click itself
    left = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] + 1e-30)
    left -= left[0]
    inside = np.flatnonzero((left < -5) & (left > -25))
    slope = np.polyfit(inside / SR, left[inside], 1)[0]  # dB a second
    assert -60 / slope == pytest.approx(ROOMS[room].seconds, rel=0.15)


def test_treble_does_not_fold_into_the_reverberation():
    """A tone above the reverberation's highest frequency leaves no other tone."""
    tone = np.sin(2 * np.pi * 12_000 * np.arange(count(1.0)) / SR).astype(np.float32)
    sound = reverberate(tone, "hall", 1.0)
    assert band_power(sound, 0, 8_000) < 1e-5 * band_power(sound, 11_000, 13_000)
