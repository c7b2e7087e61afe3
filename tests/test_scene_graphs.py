import subprocess
import sys

import pytest

from drcap.errors import AssetError
from drcap.evaluation.scene_graphs import SceneGraphParser, scene_graph

# Captions and the graphs that a person reads in them.
GRAPHS = {
    # the example of the paper's figure 1
    "A young girl standing on top of a tennis court": {
        ("girl",),
        ("court",),
        ("girl", "young"),
        ("girl", "stand"),
        ("court", "tennis"),
        ("girl", "on top of", "court"),
    },
    "a dog barks": {("dog",), ("dog", "bark")},
    "Two dogs are barking loudly.": {("dog",), ("dog", "two"), ("dog", "bark")},
    "a brown dog chases a cat": {
        ("dog",),
        ("cat",),
        ("dog", "brown"),
        ("dog", "chase", "cat"),
    },
    "a man and a woman speak": {
        ("man",),
        ("woman",),
        ("man", "speak"),
        ("woman", "speak"),
    },
    "the music is loud and fast": {("music",), ("music", "loud"), ("music", "fast")},
    "water comes out of a tap": {
        ("water",),
        ("tap",),
        ("water", "come"),
        ("water", "out of", "tap"),
    },
    "gurgling and splashing water": {
        ("water",),
        ("water", "gurgle"),
        ("water", "splash"),
    },
    "a group of people laughing": {("people",), ("people", "laugh")},
    "a bird that is singing": {("bird",), ("bird", "sing")},
    "a man talks while he plays his guitar": {
        ("man",),
        ("guitar",),
        ("man", "talk"),
        ("man", "play", "guitar"),
        ("man", "have", "guitar"),
    },
    "a man speaks followed by a loud beep": {
        ("man",),
        ("beep",),
        ("beep", "loud"),
        ("man", "speak"),
        ("beep", "follow", "man"),
    },
    "typing on a keyboard": {("keyboard",)},
    "quietly": set(),
    "": set(),
}


def parsed(*lines):
    """A sentence parsed by hand: word, tag, role, place of its head, lemma if other."""
    import spacy
    from spacy.tokens import Doc

    rows = [line.split() for line in lines]
    words, tags, roles, heads = zip(*(row[:4] for row in rows), strict=True)
    return Doc(
        spacy.blank("en").vocab,
        words=words,
        tags=tags,
        deps=roles,
        heads=[int(head) for head in heads],
        lemmas=[row[4] if len(row) > 4 else row[0] for row in rows],
    )


@pytest.fixture(scope="module")
def parser():
    return SceneGraphParser()


def test_active_and_passive_voice_give_the_same_relation():
    active = parsed(
        "dogs NNS nsubj 1 dog", "chased VBD ROOT 1 chase", "cats NNS dobj 1 cat"
    )
    passive = parsed(
        "cats NNS nsubjpass 2 cat",
        "were VBD auxpass 2 be",
        "chased VBN ROOT 2 chase",
        "by IN agent 2",
        "dogs NNS pobj 3 dog",
    )
    expected = {("dog",), ("cat",), ("dog", "chase", "cat")}
    assert scene_graph(active) == scene_graph(passive) == expected


def test_a_passive_without_an_agent_describes_its_subject():
    sentence = parsed(
        "doors NNS nsubjpass 2 door", "are VBP auxpass 2 be", "closed VBN ROOT 2 close"
    )
    assert scene_graph(sentence) == {("door",), ("door", "close")}


def test_a_number_is_an_attribute_and_does_not_multiply_its_object():
    sentence = parsed("three CD nummod 1", "bells NNS ROOT 1 bell")
    assert scene_graph(sentence) == {("bell",), ("bell", "three")}


def test_a_place_relates_the_subject_to_every_noun_joined_there():
    """ "rain falls on roofs and cars": no relation of the verb, as in figure 1."""
    sentence = parsed(
        "rain NN nsubj 1",
        "falls VBZ ROOT 1 fall",
        "on IN prep 1",
        "roofs NNS pobj 2 roof",
        "and CC cc 3",
        "cars NNS conj 3 car",
    )
    assert scene_graph(sentence) == {
        ("rain",),
        ("roof",),
        ("car",),
        ("rain", "fall"),
        ("rain", "on", "roof"),
        ("rain", "on", "car"),
    }


def test_a_possessive_and_a_nominal_predicate_are_relations():
    sentence = parsed(
        "man NN poss 2",
        "'s POS case 0",
        "dog NN nsubj 3",
        "is VBZ ROOT 3 be",
        "a DT det 5",
        "pet NN attr 3",
    )
    assert scene_graph(sentence) == {
        ("man",),
        ("dog",),
        ("pet",),
        ("man", "have", "dog"),
        ("dog", "be", "pet"),
    }


def test_a_pronoun_with_nothing_before_it_makes_no_tuple():
    sentence = parsed("it PRP nsubj 1", "rains VBZ ROOT 1 rain")
    assert scene_graph(sentence) == set()


@pytest.mark.parametrize("article, verb", [("a", True), ("the", False)])
def test_a_short_sentence_taken_for_a_noun_is_read_as_a_sentence(article, verb):
    sentence = parsed(
        f"{article} DT det 2", "toilet NN compound 2", "flushes NNS ROOT 2 flush"
    )
    clause = {("toilet",), ("toilet", "flush")}
    noun = {("flush",), ("flush", "toilet")}
    assert scene_graph(sentence) == (clause if verb else noun)


def test_a_missing_model_is_said_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    with pytest.raises(AssetError, match="assets fetch spacy-en-core-web-sm"):
        SceneGraphParser()(["a dog barks"])


def test_importing_the_module_leaves_spacy_alone():
    code = "import sys, drcap.evaluation.spice_py; sys.exit('spacy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("caption", GRAPHS)
def test_captions_give_the_graphs_that_a_person_reads(parser, caption):
    assert parser([caption]) == [GRAPHS[caption]]


@pytest.mark.slow
def test_a_batch_gives_the_graphs_of_its_captions_one_by_one(parser):
    captions = [*GRAPHS, *reversed(GRAPHS)]
    assert parser(captions) == [parser([caption])[0] for caption in captions]
    assert SceneGraphParser()(captions) == parser(captions)


@pytest.mark.slow
def test_a_caption_is_parsed_once_whatever_its_case_and_blanks(parser, monkeypatch):
    parser(["a dog barks"])
    parsed_texts = []
    pipe = parser.language.pipe

    def watched(texts):
        parsed_texts.extend(texts)
        return pipe(texts)

    monkeypatch.setattr(parser.language, "pipe", watched)
    parser(["A dog  barks\n", "a cow moos here", "a cow moos here"])
    assert parsed_texts == ["a cow moos here"]
