import numpy as np
import pytest

from drcap.retrieval.matches import cosine, distinct, hashes


def test_captions_are_told_apart_as_exact_text_after_stripping():
    assert distinct(["b", " a ", "", "b\n", "  ", "a", "a."]) == ["b", "a", "a."]
    with pytest.raises(TypeError, match="got a single text"):
        distinct("a dog")


def test_the_cosine_of_pairs_is_a_float64_of_six_decimals_whatever_the_rows():
    rows = np.random.default_rng(0).standard_normal((50, 64))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries, captions = rows[:25].astype(np.float32), rows[25:].astype(np.float16)
    expected = [
        round(float(q.astype(np.float64) @ c.astype(np.float64)), 6)
        for q, c in zip(queries, captions, strict=True)
    ]
    similarities = cosine(queries, captions)
    assert similarities.dtype == np.float64
    np.testing.assert_array_equal(similarities, expected)
    np.testing.assert_array_equal(cosine(queries[:1], captions)[0], expected[0])


def test_hashes_are_the_same_on_every_machine():
    values = hashes([b"A dog barks", b"Rain", b"Rain"])
    assert values.dtype == np.uint64 and values[1] == values[2] != values[0]
    assert values[0] == 3642058734217142296
    assert hashes([]).shape == (0,)
