"""The vocabulary: which classes there are, where they occur, how they are told."""

import pytest

from drcap.data.soundscapes.events import GENERATORS
from drcap.data.soundscapes.phrases import inflect, with_adjective
from drcap.data.soundscapes.vocabulary import VOCABULARY, classes_of


def test_every_generator_has_words_and_every_word_a_generator():
    assert set(VOCABULARY) == set(GENERATORS) and len(VOCABULARY) == 50


def test_the_corpora_share_a_part_of_their_classes():
    ac, cl = set(classes_of("ac")), set(classes_of("cl"))
    assert (len(ac), len(cl), len(ac & cl)) == (36, 36, 22)
    assert set(classes_of("weak")) == ac | cl == set(VOCABULARY)


@pytest.mark.parametrize("name", VOCABULARY)
def test_a_class_has_enough_ways_to_be_told(name):
    sound = VOCABULARY[name]
    clauses = {
        (subject, verb)
        for clause in sound.clauses
        for subject in clause.subjects
        for verb in clause.verbs
    }
    assert len(clauses) >= 9 and len(sound.nouns) >= 5
    assert len(sound.manner) >= 4 and len(sound.keywords) >= 4
    assert sound.place in ("indoors", "outdoors", "any")
    assert 0 < sound.seconds[0] < sound.seconds[1] <= 10


@pytest.mark.parametrize(
    ("verb", "present", "gerund"),
    [
        ("bark", "barks", "barking"),
        ("buzz", "buzzes", "buzzing"),
        ("fly overhead", "flies overhead", "flying overhead"),
        ("idle", "idles", "idling"),
        ("hum", "hums", "humming"),
        ("blow", "blows", "blowing"),
        ("whir", "whirs", "whirring"),
        ("clip-clop along", "clip-clops along", "clip-clopping along"),
        ("hiss and whistle", "hisses and whistles", "hissing and whistling"),
        ("play a tune", "plays a tune", "playing a tune"),
        ("chatter", "chatters", "chattering"),
        ("go off", "goes off", "going off"),
    ],
)
def test_verbs_are_inflected(verb, present, gerund):
    assert inflect(verb, "present", plural=False) == present
    assert inflect(verb, "present", plural=True) == verb
    assert inflect(verb, "gerund", plural=True) == gerund
    assert inflect(verb, "progressive", plural=False) == f"is {gerund}"
    assert inflect(verb, "progressive", plural=True) == f"are {gerund}"


@pytest.mark.parametrize(
    ("phrase", "adjective", "expected"),
    [
        ("a barking dog", "intermittent", "an intermittent barking dog"),
        ("an idling engine", "distant", "a distant idling engine"),
        ("the roar of a jet", "loud", "the loud roar of a jet"),
        ("laughter", "faint", "faint laughter"),
    ],
)
def test_an_adjective_goes_behind_the_article(phrase, adjective, expected):
    assert with_adjective(phrase, adjective) == expected
