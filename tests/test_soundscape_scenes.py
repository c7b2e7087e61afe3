"""Scenes say when each event is heard, and the sound agrees with them."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from drcap.data.soundscapes import dsp
from drcap.data.soundscapes.rendering import HEADROOM, level, render, render_event
from drcap.data.soundscapes.rooms import ROOMS
from drcap.data.soundscapes.scenes import PlacedEvent, Scene, compose
from drcap.data.soundscapes.vocabulary import VOCABULARY, classes_of

SILENT = -120.0  # dB


def scenes(count, corpus="weak", seconds=10.0):
    for index in range(count):
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
    found = [scene for scene in scenes(300) if scene.background is not None]
    assert len(found) > 30
    for scene in found:
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
    firsts = [scene.events[0].name for scene in scenes(2_000, "ac")]
    assert set(firsts) == set(classes_of("ac"))


def test_a_scene_survives_json():
    for scene in scenes(20):
        assert Scene.from_dict(json.loads(json.dumps(scene.to_dict()))) == scene


def test_a_rendering_is_finite_whole_and_never_clipped():
    for scene in scenes(8):
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
            begun = min(np.flatnonzero(np.abs(each) > 1e-4)[0] for each in wave)
            assert begun / dsp.SR > max(event.start + event.seconds for event in before)
            checked += 1
        if checked >= 4:
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


def test_another_process_renders_the_same_samples():
    code = (
        "import hashlib, numpy as np\n"
        "from drcap.data.soundscapes.scenes import compose\n"
        "from drcap.data.soundscapes.rendering import render\n"
        "from drcap.data.soundscapes.vocabulary import classes_of\n"
        "scene = compose(np.random.default_rng([7, 3]), classes_of('weak'), 10.0)\n"
        "print(hashlib.sha256(render(scene).tobytes()).hexdigest())\n"
    )
    command = [sys.executable, "-c", code]
    told = {
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(told) == 1
