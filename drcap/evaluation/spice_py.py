"""spice_py, a stand-in for SPICE (Anderson et al. 2016) that needs no Java.

In go candidates and their references, out come F-scores over the tuples of their scene
graphs (sec. 3.2). Two tuples match if each pair of their words has the same lemma or
shares a WordNet synset, as METEOR's table lists them. The graphs are our own reading of
the captions, so that scores are not SPICE's, and run higher: 0.194 against 0.166 on
aac-metrics' example_2. They must be reported under this name.
"""

import zipfile
from functools import cache

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from drcap.assets import asset_path
from drcap.evaluation.scene_graphs import Graph, SceneGraphParser, Tuple

METEOR = "aac-metrics/meteor/meteor-1.5.jar"
TABLE = "synonym/english.synsets"
_NONE: frozenset[str] = frozenset()


@cache
def synsets() -> dict[str, frozenset[str]]:
    """Read METEOR's table: word, with "_" for blanks -> the synsets that it is in.

    AssetError if METEOR is not fetched.
    """
    jar = asset_path("caption-metrics") / METEOR
    with zipfile.ZipFile(jar) as members:
        lines = members.read(TABLE).decode("utf-8").splitlines()
    return {
        word: frozenset(numbers.split())
        for word, numbers in zip(lines[::2], lines[1::2], strict=True)
    }


def synonymous(word: str, other: str) -> bool:
    """Whether two lemmas are equal or share a synset."""
    if word == other:
        return True
    table = synsets()
    ours, theirs = (table.get(w.replace(" ", "_"), _NONE) for w in (word, other))
    return not ours.isdisjoint(theirs)


def matches(ours: Tuple, theirs: Tuple) -> bool:
    """Whether two tuples are of one kind and synonymous word for word."""
    return len(ours) == len(theirs) and all(map(synonymous, ours, theirs))


def merge(*graphs: Graph) -> Graph:
    """Join graphs into one whose synonymous objects are one object (sec. 3.2).

    Objects are taken in alphabetical order, so that the order of graphs is no matter.
    """
    tuples = frozenset().union(*graphs)
    names: dict[str, str] = {}
    for [word] in sorted(each for each in tuples if len(each) == 1):
        kept = (name for name in names.values() if synonymous(word, name))
        names[word] = next(kept, word)
    return frozenset(_renamed(each, names) for each in tuples)


def f_score(candidate: Graph, reference: Graph) -> float:
    """F1 of precision and recall over tuples, each matched once at most; in [0, 1]."""
    if not candidate or not reference:
        return 0.0
    pairs = [[matches(ours, theirs) for theirs in reference] for ours in candidate]
    partners = maximum_bipartite_matching(csr_array(np.array(pairs, dtype=np.int8)))
    return 2 * int((partners >= 0).sum()) / (len(candidate) + len(reference))


def spice_py(
    candidates: list[str],
    mult_references: list[list[str]],
    parser: SceneGraphParser | None = None,
) -> tuple[float, list[float]]:
    """Score B candidates: the mean over clips, and the F-score of each; in [0, 1].

    mult_references : B lists of one or more captions, whose graphs are merged
    parser : keeps what it parsed, for several systems on one set of clips

    A candidate without a noun has no tuples and scores 0. AssetError if the spaCy model
    or METEOR is not fetched; ValueError if there is no clip or the lists do not fit.
    """
    if not candidates or len(candidates) != len(mult_references):
        raise ValueError(
            f"{len(candidates)} candidates do not match "
            f"{len(mult_references)} lists of references: give one list for each"
        )
    parser = parser or SceneGraphParser()
    synsets()  # if missing, said before the parser takes its time
    flat = [text for references in mult_references for text in references]
    graphs = iter(parser([*candidates, *flat]))
    ours = [merge(next(graphs)) for _ in candidates]
    theirs = [merge(*(next(graphs) for _ in each)) for each in mult_references]
    scores = [f_score(*pair) for pair in zip(ours, theirs, strict=True)]
    return float(np.mean(scores)), scores


def _renamed(each: Tuple, names: dict[str, str]) -> Tuple:
    """Rename the objects of a tuple: its first word and, in a relation, its last."""
    objects = {0, 2}
    return tuple(
        names.get(word, word) if place in objects else word
        for place, word in enumerate(each)
    )
