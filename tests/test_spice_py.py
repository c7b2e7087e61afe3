import zipfile
from itertools import permutations

import pandas as pd
import pytest

from drcap.assets import asset_path
from drcap.errors import AssetError
from drcap.evaluation import spice_py as module
from drcap.evaluation.scene_graphs import SceneGraphParser
from drcap.evaluation.spice_py import f_score, matches, merge, spice_py

# SPICE has 0.126 and 0.166 here: other graphs, so other scores.
EXAMPLES = {"example_1": 0.1408, "example_2": 0.1938}

SYNSETS = {
    "car": "1 2",
    "auto": "1",
    "cab": "2",
    "speak": "3 4",
    "talk": "3",
    "next_to": "5",
    "beside": "5",
}
GRAPHS = {
    "a car passes": {("car",), ("car", "pass")},
    "an auto passes": {("auto",), ("auto", "pass")},
    "a cab honks": {("cab",), ("cab", "honk")},
    "a loud car honks": {("car",), ("car", "loud"), ("car", "honk")},
    "a man talks": {("man",), ("man", "talk")},
    "a man speaks": {("man",), ("man", "speak")},
    "nothing": set(),
}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """METEOR's archive with a table of a few words."""
    jar = tmp_path / module.METEOR
    jar.parent.mkdir(parents=True)
    lines = [line for pair in SYNSETS.items() for line in pair]
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr(module.TABLE, "\n".join(lines) + "\n")
    monkeypatch.setattr(module, "asset_path", lambda name: tmp_path)
    module.synsets.cache_clear()
    yield
    module.synsets.cache_clear()


def parse(captions):
    """Read graphs off the table above, as a parser would off captions."""
    return [frozenset(GRAPHS[caption]) for caption in captions]


def most_matches(ours, theirs):
    """The most pairs that match, one to one, by trying every order."""
    short, long = sorted((list(ours), list(theirs)), key=len)
    return max(
        sum(map(matches, short, order)) for order in permutations(long, len(short))
    )


def test_words_match_if_they_share_a_synset(table):
    assert matches(("car",), ("auto",)) and matches(("car",), ("cab",))
    assert not matches(("auto",), ("cab",))
    assert matches(("car", "next to", "dog"), ("cab", "beside", "dog"))
    assert matches(("unheard",), ("unheard",))
    assert not matches(("unheard",), ("unseen",))


def test_every_word_of_a_tuple_must_match(table):
    assert matches(("car", "speak"), ("cab", "talk"))
    assert not matches(("car", "speak"), ("cab", "loud"))
    assert not matches(("car",), ("car", "loud"))


def test_synonymous_objects_of_the_references_are_one(table):
    merged = merge(*parse(["a car passes", "an auto passes"]))
    assert merged == {("auto",), ("auto", "pass")}
    relation = frozenset({("car",), ("auto",), ("car", "beside", "car")})
    assert merge(relation) == {("auto",), ("auto", "beside", "auto")}


def test_an_attribute_is_no_object_and_keeps_its_name(table):
    graph = frozenset({("auto",), ("car",), ("sign",), ("sign", "car")})
    assert merge(graph) == {("auto",), ("sign",), ("sign", "car")}


def test_the_order_of_references_does_not_matter(table):
    captions = ["a car passes", "an auto passes", "a cab honks", "a loud car honks"]
    assert len({merge(*parse(order)) for order in permutations(captions)}) == 1


def test_the_score_is_the_f_measure_of_matched_tuples(table):
    """3 candidate and 4 reference tuples, of which 2 match: P 2/3, R 2/4."""
    references = ["a cab honks", "a man talks"]
    corpus, [clip] = spice_py(["a loud car honks"], [references], parse)
    precision, recall = 2 / 3, 2 / 4
    expected = 2 * precision * recall / (precision + recall)
    assert corpus == clip == pytest.approx(expected)


def test_a_tuple_is_matched_once(table):
    """ "car" matches "auto" and "cab": that is one match, not two."""
    ours, theirs = frozenset({("car",)}), frozenset({("auto",), ("cab",)})
    assert f_score(ours, theirs) == f_score(theirs, ours) == pytest.approx(2 / 3)


@pytest.mark.parametrize("ours", GRAPHS)
@pytest.mark.parametrize("theirs", GRAPHS)
def test_the_score_agrees_with_trying_every_matching(table, ours, theirs):
    first, second = parse([ours, theirs])
    sizes = len(first) + len(second)
    expected = 2 * most_matches(first, second) / sizes if first and second else 0
    assert f_score(first, second) == pytest.approx(expected)


def test_a_matching_is_the_largest_and_not_the_first_found(table):
    """ "car" could take "auto", which then nothing is left for."""
    ours = frozenset({("car",), ("auto",)})
    theirs = frozenset({("auto",), ("cab",)})
    assert f_score(ours, theirs) == 1


def test_a_caption_without_tuples_scores_nothing(table):
    references = [["a man talks"], ["nothing"]]
    assert spice_py(["nothing", "a man talks"], references, parse) == (0.0, [0.0, 0.0])


def test_the_corpus_score_is_the_mean_over_clips(table):
    candidates = ["a man speaks", "nothing", "a car passes"]
    references = [["a man talks"], ["a man talks"], ["a man talks", "an auto passes"]]
    corpus, clips = spice_py(candidates, references, parse)
    assert clips == pytest.approx([1, 0, 2 / 3])
    assert corpus == pytest.approx(5 / 9)


def test_clips_and_references_that_do_not_fit_are_refused(table):
    with pytest.raises(ValueError, match="1 candidates do not match 2"):
        spice_py(["a man talks"], [["nothing"], ["nothing"]], parse)
    with pytest.raises(ValueError, match="0 candidates"):
        spice_py([], [], parse)


def test_a_missing_synonym_table_is_said_with_its_remedy(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    module.synsets.cache_clear()
    with pytest.raises(AssetError, match="assets fetch caption-metrics"):
        spice_py(["a man talks"], [["a man talks"]], parse)


@pytest.mark.slow
def test_meteors_table_knows_synonyms():
    module.synsets.cache_clear()
    assert len(module.synsets()) > 100_000
    assert module.synonymous("sofa", "couch") and module.synonymous("talk", "speak")
    assert module.synonymous("steam engine", "steam engine")
    assert not module.synonymous("dog", "cat")


@pytest.mark.slow
def test_a_caption_that_is_among_its_references_word_for_word_scores_one():
    captions = ["a dog barks and a hound growls", "a man speaks in a loud room"]
    references = [[caption, caption.upper()] for caption in captions]
    assert spice_py(captions, references) == (1.0, [1.0, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_published_examples_have_their_known_scores(example):
    path = asset_path("aac-metrics-examples") / f"{example}.csv"
    table = pd.read_csv(path, keep_default_na=False)  # some candidates are empty
    candidates = table["caption_predicted"].tolist()
    references = table[[f"caption_{n}" for n in range(1, 6)]].to_numpy().tolist()
    parser = SceneGraphParser()
    corpus, clips = spice_py(candidates, references, parser)
    assert corpus == pytest.approx(EXAMPLES[example], abs=1e-3)
    assert len(clips) == len(table) and 0 <= min(clips) <= max(clips) <= 1
    turned = [captions[::-1] for captions in references]
    again, clips_again = spice_py(candidates[::-1], turned[::-1], parser)
    assert clips_again == clips[::-1] and again == pytest.approx(corpus)
