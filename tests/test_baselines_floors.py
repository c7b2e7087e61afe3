"""The floors say what was written already: the nearest, or the most common."""

import pytest
from doubles_baselines import toy_config, toy_space
from doubles_experiments import clips_of

from drcap.baselines import ClipBatch, TrainSet
from drcap.baselines.floors import CommonCaption, NearestCaption
from drcap.data.captions import Clip


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path / "home"))


def train_set(*captions):
    return TrainSet(
        tuple(
            Clip(str(place), "toy", "train", None, None, (text,))
            for place, text in enumerate(captions)
        )
    )


def test_the_nearest_caption_has_the_largest_cosine(tmp_path):
    space = toy_space()
    clips = tuple(clips_of(tmp_path, "ac", "test", 4))
    said = NearestCaption(space).caption(ClipBatch(clips, []))
    cosines = space.audio(clips).numpy() @ space.datastore.embeddings.T
    for row, caption in zip(cosines, said, strict=True):
        own = row[space.datastore.captions.index(caption)]
        assert own == pytest.approx(row.max(), abs=1e-5)


def test_the_most_common_caption_is_counted(tmp_path):
    space = toy_space()
    often, rare = space.captions[3], space.captions[9]
    system = CommonCaption(space)
    system.fit(train_set(rare, often, often), toy_config("unused"), tmp_path)
    clips = tuple(clips_of(tmp_path, "ac", "test", 2))
    assert system.caption(ClipBatch(clips, [])) == [often, often]


def test_among_equals_the_one_nearest_to_their_mean_is_said(tmp_path):
    space = toy_space()
    captions = [text for text in space.captions if "dog" in text]
    odd = next(text for text in space.captions if "engine" in text)
    system = CommonCaption(space)
    system.fit(train_set(odd, *captions), toy_config("unused"), tmp_path)
    assert system.said in captions
