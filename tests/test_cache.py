import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from drcap import cache
from drcap.config import Config


@pytest.fixture
def unwritable(home):
    """A cache folder in which nothing can be made, by root either."""
    home.write_text("a file where the folder should be")
    cache._warn.cache_clear()


def forbidden(*_):
    pytest.fail("computed a second time")


def files(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


VALUES = {
    "text": "a dog barks",
    "number": 0.1 + 0.2,
    "nested": {"captions": ["Regen fällt"], "none": None},
    "empty": [],
    "array": np.arange(6, dtype=np.float16).reshape(2, 3),
    "no rows": np.zeros((0, 3), np.float32),
    "arrays": {"peaks": np.arange(4), "mask": np.array([True, False])},
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_is_computed_once_and_read_back_the_same(home, name):
    def same(value):
        np.testing.assert_equal(value, VALUES[name])
        assert type(value) is type(VALUES[name])
        assert getattr(value, "dtype", None) == getattr(VALUES[name], "dtype", None)

    same(cache.keep("kind/deep", ["key", 1], lambda: VALUES[name]))
    same(cache.keep("kind/deep", ["key", 1], forbidden))
    assert [path.parent for path in files(home)] == [home / "kind" / "deep"]


def test_a_tuple_is_a_list_from_the_first_call_on(home):
    assert cache.keep("kind", 1, lambda: [("caption", 0.5)]) == [["caption", 0.5]]


def test_another_key_or_kind_is_another_entry(home):
    assert cache.keep("kind", {"seed": 1}, lambda: "one") == "one"
    assert cache.keep("kind", {"seed": 2}, lambda: "two") == "two"
    assert cache.keep("other", {"seed": 1}, lambda: "three") == "three"


def test_a_digest_is_of_the_content_and_the_same_in_every_process():
    assert cache.digest({"b": 1, "a": 2}) == cache.digest({"a": 2, "b": 1})
    assert len({cache.digest(key) for key in (1, "1", [1], None, 1.0)}) == 5
    assert cache.digest(Config()) == cache.digest(Config().to_dict())
    assert cache.digest([Path("/a"), {"x", "y"}]) == cache.digest(["/a", ["x", "y"]])
    assert len(bytes.fromhex(cache.digest("key"))) == 8
    code = "from drcap import cache; print(cache.digest({'x', 'y', 'z'}))"
    printed = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert printed.strip() == cache.digest({"x", "y", "z"})
    with pytest.raises(TypeError, match="object"):
        cache.digest(object())


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_kill_while_computing_leaves_nothing_that_counts(home, error):
    def killed(*folders):
        for folder in folders:
            (folder / "half.txt").write_text("half")
        raise error

    with pytest.raises(error):
        cache.keep("kind", 1, killed)
    with pytest.raises(error):
        cache.keep_folder("kind", 1, killed)
    assert [path.suffix for path in files(home)] == [".lock"]
    assert cache.keep("kind", 1, lambda: "whole") == "whole"
    folder = cache.keep_folder("kind", 1, lambda f: (f / "a").write_text("whole"))
    assert [path.name for path in files(folder)] == ["a"]


def test_a_kill_while_writing_leaves_nothing_that_counts(home, monkeypatch):
    def killed(stream, **arrays):
        Path(stream).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(np, "savez", killed)
        with pytest.raises(KeyboardInterrupt):
            cache.keep("kind", 1, lambda: np.ones(3))
    assert files(home) == []
    assert cache.keep("kind", 1, lambda: np.ones(2)).tolist() == [1, 1]


@pytest.mark.parametrize("value", ["text", np.ones(100)], ids=["json", "npz"])
def test_a_damaged_entry_is_computed_anew(home, value):
    cache.keep("kind", 1, lambda: value)
    [path] = files(home)
    for content in (path.read_bytes()[:-3], b"", b"\xff"):
        path.write_bytes(content)
        np.testing.assert_equal(cache.keep("kind", 1, lambda: value), value)
    np.testing.assert_equal(cache.keep("kind", 1, forbidden), value)


def test_an_unwritable_cache_gives_one_warning_and_the_values(unwritable, caplog):
    for key in range(3):
        assert cache.keep("kind", key, lambda key=key: {"key": key}) == {"key": key}
    folder = cache.keep_folder("kind", 1, lambda f: (f / "a").write_text("here"))
    assert (folder / "a").read_text() == "here"
    assert cache.keep_folder("kind", 1, forbidden) == folder
    [message] = [record.getMessage() for record in caplog.records]
    assert "cannot be written" in message and "set DRCAP_HOME" in message


def test_a_folder_is_filled_once(home):
    def write(folder):
        (folder / "rows.json").write_text(json.dumps([1, 2]))

    folder = cache.keep_folder("datastores", ["captions", "clap"], write)
    assert json.loads((folder / "rows.json").read_text()) == [1, 2]
    assert folder.parent == home / "datastores"
    assert cache.keep_folder("datastores", ["captions", "clap"], forbidden) == folder


def test_a_training_has_a_folder_for_each_key(home):
    folder = cache.run_folder("drcap-ac", Config())
    assert folder.parent == home / "runs" and not folder.exists()
    assert folder.name == f"drcap-ac-{cache.digest(Config())[:8]}"
    assert cache.run_folder("drcap-ac", Config(seed=1)) != folder
