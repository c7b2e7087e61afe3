"""Captions agree with the scene that they are made from, and vary widely."""

import re

import numpy as np
import pytest

from drcap.data.soundscapes import grammar
from drcap.data.soundscapes.phrases import ADVERBS, inflect, qualities
from drcap.data.soundscapes.scenes import compose
from drcap.data.soundscapes.vocabulary import VOCABULARY, classes_of

FORMS = ("present", "progressive", "gerund")


def drawn(index, corpus="ac", seconds=10.0):
    """Return a scene and the generator that goes on to make its captions."""
    rng = np.random.default_rng([5, index])
    return compose(rng, classes_of(corpus), seconds), rng


def phrases(name):
    """Return everything that an event of a class may be called, longest first."""
    sound = VOCABULARY[name]
    words = set(sound.nouns)
    for clause in sound.clauses:
        for verb in clause.verbs:
            for form in FORMS:
                told = inflect(verb, form, clause.plural)
                words |= {f"{subject} {told}" for subject in clause.subjects}
    # an adjective may stand between the article and the rest of a noun phrase
    bare = {re.sub(r"^(an?|the) ", "", word) for word in words}
    return sorted(bare, key=len, reverse=True)


def place_of(caption, event):
    """Return where a caption first tells of an event, or None."""
    found = [
        match.start()
        for phrase in phrases(event.name)
        if (match := re.search(rf"\b{re.escape(phrase)}\b", caption.lower()))
    ]
    return min(found) if found else None


def assert_ordered(caption, scene):
    """Foreground events are told group after group."""
    told = []
    for group in scene.groups:
        places = [place_of(caption, event) for event in group]
        told.append([place for place in places if place is not None])
    told = [places for places in told if places]
    for before, after in zip(told, told[1:], strict=False):
        assert max(before) < min(after), caption


def clear(scene):
    """Say whether no event of a scene could be taken for another by its words."""
    sets = [set(phrases(event.name)) for event in scene.events]
    words = [
        {word for phrase in each for word in phrase.split() if len(word) > 3}
        for each in sets
    ]
    return all(not (words[i] & words[j]) for i in range(len(words)) for j in range(i))


@pytest.mark.parametrize("style", ["train", "short", "ordered", "gerund", "loose"])
def test_events_are_told_in_their_order(style):
    tellers = {
        "train": grammar.audiocaps_like,
        "short": lambda scene, rng: grammar.five_references(scene, rng)[0],
        "ordered": lambda scene, rng: grammar.five_references(scene, rng)[1],
        "gerund": lambda scene, rng: grammar.five_references(scene, rng)[3],
        "loose": lambda scene, rng: grammar.five_references(scene, rng)[4],
    }
    checked = 0
    for index in range(300):
        scene, rng = drawn(index)
        caption = tellers[style](scene, rng)
        if len(scene.groups) > 1 and clear(scene):
            assert_ordered(caption, scene)
            checked += 1
    assert checked > 50


def test_words_for_then_are_used_only_where_something_follows():
    sequence = re.compile(
        r"\b(followed by|then|before|afterwards|after which|after that|next)\b"
    )
    for index in range(300):
        scene, rng = drawn(index)
        for caption in (
            grammar.audiocaps_like(scene, rng),
            *grammar.five_references(scene, rng),
            grammar.clotho_like(scene, rng),
        ):
            if len(scene.groups) == 1:
                assert not sequence.search(caption), caption
            elif sum(len(group) for group in scene.groups) == len(scene.groups):
                assert sequence.search(caption), caption


def test_a_background_is_only_told_where_there_is_one():
    for index in range(300):
        scene, rng = drawn(index)
        for caption in (
            grammar.audiocaps_like(scene, rng),
            *grammar.five_references(scene, rng),
        ):
            if scene.background is None:
                assert "background" not in caption


def test_adverbs_of_level_and_distance_are_true():
    for index in range(300):
        scene, rng = drawn(index)
        true = {q for event in scene.events for q in qualities(event, scene)}
        caption = grammar.five_references(scene, rng)[2].lower()
        for quality, words in ADVERBS.items():
            if quality not in true:
                told = [word for word in words if f" {word}" in caption]
                # "close by", for one, is also part of longer phrases
                longer = [m for e in scene.events for m in VOCABULARY[e.name].manner]
                assert all(any(w in m for m in longer) for w in told), caption


def test_training_captions_hardly_ever_repeat():
    captions = [grammar.audiocaps_like(*drawn(index)) for index in range(500)]
    assert len(set(captions)) > 0.95 * 500


def test_captions_of_one_scene_vary_too():
    scene, rng = drawn(1)
    captions = {grammar.audiocaps_like(scene, rng) for _ in range(50)}
    assert len(captions) > 45


def test_five_references_are_five_different_captions():
    for index in range(200):
        scene, rng = drawn(index)
        assert len(set(grammar.five_references(scene, rng))) == 5
        assert len(set(grammar.five_clotho_like(scene, rng))) == 5


def test_clotho_like_captions_have_8_to_20_words():
    captions = [grammar.clotho_like(*drawn(index, "cl", 20.0)) for index in range(300)]
    lengths = np.array([len(caption.split()) for caption in captions])
    assert ((lengths >= 8) & (lengths <= 20)).mean() > 0.98
    assert all(caption.endswith(".") for caption in captions)


def test_weak_captions_omit_events_and_are_wrong_now_and_then():
    omitted = events = foreign = 0
    for index in range(400):
        scene, rng = drawn(index, "weak")
        caption = grammar.weak(scene, rng).lower()
        mentioned = [event for event in scene.events if tells_of(caption, event.name)]
        events += len(scene.events)
        omitted += len(scene.events) - len(mentioned)
        foreign += not mentioned
        assert not re.search(r"\b(followed by|then|before|afterwards)\b", caption)
    assert 0.1 < omitted / events < 0.3
    assert 0.01 < foreign / 400 < 0.2


def tells_of(caption, name):
    words = set(phrases(name)) | set(VOCABULARY[name].keywords)
    return any(re.search(rf"\b{re.escape(word)}\b", caption) for word in words)


def test_captions_read_as_sentences():
    for index in range(300):
        scene, rng = drawn(index, "weak")
        for caption in (
            grammar.audiocaps_like(scene, rng),
            *grammar.five_references(scene, rng),
            grammar.clotho_like(scene, rng),
            grammar.weak(scene, rng),
        ):
            assert caption[0].isupper() and "  " not in caption
            assert not re.search(r"[{}]|\b(\w+) \1\b", caption), caption
            assert not re.search(r"\ba [aeiou]|\ban [^aeiou]", caption), caption
