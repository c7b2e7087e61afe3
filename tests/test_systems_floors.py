"""The floors give what was written already: the nearest, or the most common caption."""

import pytest
from doubles_experiments import clips_of
from doubles_systems import toy_config, toy_space, toy_system

from drcap.systems.base import ClipBatch, TrainingSet


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))


def test_the_nearest_caption_has_the_largest_cosine(tmp_path):
    space = toy_space()
    clips = tuple(clips_of(tmp_path, "ac", "test", 4))
    results = toy_system("nearest_caption", space).caption_clips(ClipBatch(clips, []))
    cosines = space.audio(clips).numpy() @ space.datastore.embeddings.T
    for row, result in zip(cosines, results, strict=True):
        own = row[space.datastore.captions.index(result.caption)]
        assert own == pytest.approx(row.max(), abs=1e-5)
        assert result.similar_captions[0].caption == result.caption


def test_the_most_common_caption_is_counted_and_ties_go_to_the_middle(tmp_path):
    space = toy_space()
    often, rare = space.captions[3], space.captions[9]
    dogs = [text for text in space.captions if "dog" in text]
    engine = next(text for text in space.captions if "engine" in text)
    clips = tuple(clips_of(tmp_path, "ac", "test", 2))
    for captions, expected in (
        ([rare, often, often], {often}),
        ([engine, *dogs], {*dogs}),
    ):
        system = toy_system("common_caption", space)
        system.fit(TrainingSet(captions), toy_config("unused"), tmp_path)
        [first, second] = system.caption_clips(ClipBatch(clips, []))
        assert first.caption == second.caption and first.caption in expected
