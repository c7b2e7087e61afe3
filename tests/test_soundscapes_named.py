"""A caption written by the grammar names what is in its scene, in order."""

import numpy as np
import pytest

from soundscapes import SoundscapesConfig, captions
from soundscapes.addresses import Address
from soundscapes.clips import scene_of
from soundscapes.named import compare_with_scene, named_classes

SCENES = [scene_of(Address("ac", "test", n), SoundscapesConfig()) for n in range(100)]


def shares(texts):
    counts = [compare_with_scene(*pair) for pair in zip(texts, SCENES, strict=True)]
    sums = {key: np.sum([each[key] for each in counts], axis=0) for key in counts[0]}
    return {key: right / max(of, 1) for key, (right, of) in sums.items()}


def test_a_caption_of_the_whole_scene_names_it_all_in_order():
    texts = [captions.audiocaps_like(s, np.random.default_rng(1)) for s in SCENES]
    found = shares(texts)
    assert found["found"] == found["in_order"] == 1
    assert found["right"] > 0.98


def test_captions_of_other_scenes_name_little_of_it():
    texts = [captions.audiocaps_like(s, np.random.default_rng(1)) for s in SCENES]
    found = shares(texts[1:] + texts[:1])
    assert found["found"] < 0.25 and found["right"] < 0.25


def test_weak_captions_leave_out_and_have_no_order():
    found = shares([captions.weak(s, np.random.default_rng(1)) for s in SCENES])
    assert 0.7 < found["found"] < 0.9
    assert 0.3 < found["in_order"] < 0.7


@pytest.mark.parametrize(
    "caption, names",
    [
        ("Rain falls while thunder rumbles.", [{"rain"}, {"thunder"}]),
        ("THE RAIN IS FALLING, then rain", [{"rain"}, {"rain"}]),
        ("A quokka hums all the time", []),
        ("", []),
    ],
)
def test_phrases_are_found_in_every_form_and_case(caption, names):
    assert named_classes(caption) == names
