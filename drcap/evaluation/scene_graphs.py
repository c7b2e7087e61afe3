"""Captions to scene graphs, as SPICE reads them (Anderson et al. 2016, sec. 3.1).

In go captions, out come the tuples of their graphs, in lemmas: objects ("dog",),
attributes ("dog", "brown") and relations ("dog", "chase", "cat"). As in the paper a
few rules read them off a dependency parse, each noun is an object, and a number is an
attribute. The parser is spaCy's and the rules are ours, so that graphs differ from
SPICE's. Checked on hand-made graphs, the paper's example among them.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from drcap.assets import asset_path

if TYPE_CHECKING:  # spaCy takes seconds to import
    from spacy.language import Language
    from spacy.tokens import Doc, Token

Tuple = tuple[str, ...]  # (object,), (object, attribute) or (object, relation, object)
Graph = frozenset[Tuple]

MODEL = "spacy-en-core-web-sm"
MODIFIERS = ("amod", "nummod", "compound")
SUBJECTS = ("nsubj", "nsubjpass")
# "a couple of dogs" are dogs: the object is the noun after "of".
QUANTIFIERS = frozenset("bit bunch couple group lot number pair piece series".split())
# "on top of" is one preposition.
PLACES = frozenset("back front middle top".split())


class SceneGraphParser:
    """Parses captions in batches, and every distinct caption once."""

    def __init__(self) -> None:
        self._graphs: dict[str, Graph] = {}

    @cached_property
    def language(self) -> "Language":
        """The spaCy pipeline, loaded when first needed; AssetError if not fetched."""
        folder = asset_path(MODEL)
        import spacy

        return spacy.load(folder, exclude=["ner"])

    def __call__(self, captions: Iterable[str]) -> list[Graph]:
        """Return a graph for each caption; it is empty if the caption has no noun."""
        texts = [" ".join(caption.lower().split()) for caption in captions]
        new = list(dict.fromkeys(text for text in texts if text not in self._graphs))
        for text, sentence in zip(new, self.language.pipe(new), strict=True):
            self._graphs[text] = scene_graph(sentence)
        return [self._graphs[text] for text in texts]


def scene_graph(sentence: "Doc") -> Graph:
    """Read the tuples off a parsed sentence."""
    found: set[Tuple] = set()
    for token in sentence:
        if _is_predicate(token):
            found.update(_of_predicate(token))
        elif _is_object(token):
            found.update(_of_object(token))
    return frozenset(found)


def _of_object(noun: "Token") -> Iterator[Tuple]:
    """A noun is an object; what describes, counts, owns or surrounds it comes along."""
    name = _lemma(noun)
    yield (name,)
    for child in noun.children:
        if child.dep_ in MODIFIERS:
            yield name, _lemma(child)
            for joined in child.conjuncts:
                if not _is_noun(joined):  # "loud and clear bells", not "bells and dogs"
                    yield name, _lemma(joined)
    for owner in _nouns(noun, "poss"):
        yield _lemma(owner), "have", name
    for relation, place in _prepositions(noun):
        yield name, relation, place


def _of_predicate(verb: "Token") -> Iterator[Tuple]:
    """A verb relates its subjects to its objects; without any it describes them."""
    subjects = [_lemma(noun) for noun in _subjects(verb)]
    objects = [_lemma(noun) for noun in _nouns(verb, "dobj")]
    agents = [_lemma(noun) for noun in _agents(verb)]
    for subject in subjects:
        yield from ((agent, _lemma(verb), subject) for agent in agents)
        yield from ((subject, _lemma(verb), each) for each in objects)
        yield from (
            (subject, relation, place) for relation, place in _prepositions(verb)
        )
        if not agents and not objects:
            yield from _description(subject, verb)


def _description(subject: str, verb: "Token") -> Iterator[Tuple]:
    """What a verb without objects says: "barks", "is loud" or "is a pet"."""
    natures = _nouns(verb, "attr")
    qualities = [child for child in verb.children if child.dep_ == "acomp"]
    for noun in natures:
        yield subject, "be", _lemma(noun)
    for quality in qualities:
        for each in (quality, *quality.conjuncts):
            yield subject, _lemma(each)
    if not natures and not qualities and _lemma(verb) != "be":
        yield subject, _lemma(verb)


def _subjects(verb: "Token") -> list["Token"]:
    """Own subjects; else the noun that it describes, or those of the verb it joins."""
    if mistaken := _mistaken_subject(verb):
        return [mistaken]
    own = _nouns(verb, *SUBJECTS)
    if own or (verb.dep_ != "relcl" and _has(verb, *SUBJECTS)):
        return own
    if verb.dep_ in ("acl", "relcl") and not _is_predicate(verb.head):
        return _referents(verb.head)
    if verb.dep_ in ("acl", "relcl", "conj", "xcomp", "advcl"):
        return _subjects(verb.head) if _is_predicate(verb.head) else []
    return []


def _agents(verb: "Token") -> list["Token"]:
    by = [child for child in verb.children if child.dep_ == "agent"]
    return [noun for child in by for noun in _nouns(child, "pobj")]


def _prepositions(token: "Token") -> Iterator[tuple[str, str]]:
    """Pairs (relation, object): "on a roof", "out of a tap", "on top of a court"."""
    for child in token.children:
        if child.dep_ == "prep":
            yield from _places(child, child.lower_)


def _places(preposition: "Token", relation: str) -> Iterator[tuple[str, str]]:
    for noun in _nouns(preposition, "pobj"):
        yield relation, _lemma(noun)
    for inner, place in _prepositions(preposition):
        yield f"{relation} {inner}", place
    for child in preposition.children:
        if _is_place(child):
            for inner, place in _prepositions(child):
                yield f"{relation} {child.lower_} {inner}", place


def _nouns(token: "Token", *roles: str) -> list["Token"]:
    """Objects that depend on a token in these roles, with those joined to them."""
    return [
        noun
        for child in token.children
        if child.dep_ in roles
        for noun in _referents(child)
    ]


def _referents(token: "Token") -> list["Token"]:
    """Objects that a noun or pronoun stands for, with those that "and" joins to it."""
    joined = [token, *(each for each in token.conjuncts if each.i > token.i)]
    referents = [_antecedent(_counted(each)) for each in joined]
    return [each for each in referents if each is not None and _is_object(each)]


def _counted(noun: "Token") -> "Token":
    """Look past a quantifier: "dogs" in "a couple of dogs", else the noun itself."""
    if noun.lemma_ in QUANTIFIERS:
        for child in noun.children:
            if child.lower_ == "of":
                things = (each for each in child.children if each.dep_ == "pobj")
                return next(things, noun)
    return noun


def _antecedent(token: "Token") -> "Token | None":
    """What a pronoun refers to: the first object, if that is not behind it."""
    if not token.tag_.startswith("PRP"):
        return token
    before = (each for each in token.doc[: token.i] if _is_object(each))
    return next(before, None)


def _is_noun(token: "Token") -> bool:
    return token.tag_.startswith("NN")


def _is_object(token: "Token") -> bool:
    if not _is_noun(token) or _is_predicate(token) or _is_place(token):
        return False
    if token.dep_ in MODIFIERS:
        return _mistaken_subject(token.head) == token
    return _counted(token) == token


def _is_predicate(token: "Token") -> bool:
    if token.dep_ in ("aux", "auxpass", *MODIFIERS):
        return False
    verb = token.tag_.startswith("VB") or _has(token, *SUBJECTS)
    return verb or _mistaken_subject(token) is not None


def _is_place(token: "Token") -> bool:
    return token.dep_ == "pobj" and token.lower_ in PLACES and _has(token, "prep")


def _mistaken_subject(token: "Token") -> "Token | None":
    """The "toilet" of "a toilet flushes" where the two were taken for one noun.

    Short sentences often are. A verb has no compounds, and "a" goes with no plural.
    """
    compounds = [child for child in token.children if child.dep_ == "compound"]
    words = {word.lower_ for each in (token, *compounds) for word in each.lefts}
    plural = token.tag_ == "NNS" and not words.isdisjoint(("a", "an"))
    if compounds and (plural or token.tag_.startswith("VB")):
        return compounds[-1]
    return None


def _has(token: "Token", *roles: str) -> bool:
    return any(child.dep_ in roles for child in token.children)


def _lemma(token: "Token") -> str:
    return token.lemma_.lower()
