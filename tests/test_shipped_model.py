import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drcap import assets

pytestmark = pytest.mark.slow

ANIMALS = {  # the animal or its call; -s, -ing and -ed may follow
    "cat": "cat|kitten|meow|purr",
    "cow": "cow|cattle|moo",
    "dog": "dog|puppy|puppies|bark|growl",
    "duck": "duck|quack",
    "frog": "frog|croak|ribbit",
    "horse": "horse|neigh|whinny|whinnies|clip[ -]clop|gallop|trot|trotting",
    "owl": "owl|hoot",
    "pig": "pig|oink|snort",
    "rooster": "rooster|chicken|crowing|cock",
    "sheep": "sheep|lamb|bleat|baa",
}


def captions_of_animals(*options):
    """Caption the ten animal recordings in a process of its own."""
    folder = assets.asset_path("animal-recordings")
    command = [sys.executable, "-c", "from drcap.cli import main; main()", "caption"]
    done = subprocess.run(
        [*command, "--json", *options, str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(record["file"]).stem for record in records] == sorted(ANIMALS)
    return records


def named(records):
    """Count the captions that name their animal; whole words, as growls hold an owl."""
    return sum(
        bool(re.search(rf"\b({words})(s|ing|ed)?\b", record["caption"].lower()))
        for (_, words), record in zip(sorted(ANIMALS.items()), records, strict=True)
    )


def test_the_shipped_model_names_at_least_eight_of_ten_animals():
    records = captions_of_animals()
    for record in records:
        assert record.keys() == {"file", "caption", "similar_captions", "seconds"}
        assert len(record["similar_captions"]) == 3
        assert all(
            m.keys() == {"caption", "similarity"} for m in record["similar_captions"]
        )
    assert named(records) >= 8, [record["caption"] for record in records]


def test_the_shipped_model_names_at_least_six_without_retrieval():
    records = captions_of_animals("--no-retrieval")
    assert all(record["similar_captions"] == [] for record in records)
    assert named(records) >= 6, [record["caption"] for record in records]
