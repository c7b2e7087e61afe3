"""Sound events are AudioSet's, the nearest by cosine."""

import pytest
import torch
from doubles_baselines import EVENTS, toy_events, toy_space

from drcap.baselines.sound_events import SoundEvents


def test_the_nearest_are_those_of_the_largest_cosines():
    events = toy_events(toy_space())
    rows = events.space.clap.encode_text(["a dog in the rain", "an engine"])
    assert set(events.nearest(rows, 2)[0]) == {"Dog", "Rain"}
    assert events.nearest(rows, 1)[1] == ["Engine"]


def test_posteriors_are_a_softmax_over_all_classes():
    events = toy_events(toy_space())
    rows = events.space.clap.encode_text(["a dog"])
    found = events.posteriors(rows)
    assert found.shape == (1, len(EVENTS))
    torch.testing.assert_close(found.sum(1), torch.ones(1))
    expected = (rows @ events.embeddings.T / 0.05).softmax(1)
    torch.testing.assert_close(found, expected)


@pytest.mark.slow
def test_the_classes_are_audiosets():
    events = SoundEvents(toy_space())
    assert len(events.names) == 521 and "Dog" in events.names
