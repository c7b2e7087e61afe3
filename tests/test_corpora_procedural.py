"""The corpora of a profile are read as the real datasets are, and tell their truth."""

import pytest

from drcap.config import SoundscapesConfig
from drcap.data.corpora import ProceduralCorpora
from drcap.data.soundscapes.corpora import build


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    config = SoundscapesConfig(ac=(3, 2, 2), cl=(2, 1, 1), weak=12, leaked=0.25)
    folder = tmp_path_factory.mktemp("corpora")
    return ProceduralCorpora(config, build(config, folder, processes=1, progress=False))


def test_every_clip_is_counted(data):
    sizes = data.sizes().set_index(["corpus", "subset"])
    assert sizes.clips.tolist() == [3, 2, 2, 2, 1, 1, 12]
    assert sizes.recordings.tolist() == sizes.clips.tolist()
    assert sizes.captions.loc["scapes-ac"].tolist() == [3, 10, 10]
    assert sizes.captions.loc["scapes-weak"].tolist() == [12]


def test_all_subsets_of_both_targets_are_kept_out_of_pretraining(data):
    assert len(data.targets) == 3 + 2 + 2 + 2 + 1 + 1
    subsets = {(clip.dataset, clip.subset) for clip in data.targets}
    assert len(subsets) == 6


def test_the_truth_names_the_copies_and_their_originals(data):
    assert len(data.copies) == 3  # a quarter of twelve
    for clip in data.weak:
        copied = data.truth(clip)["copy_of"]
        assert (copied is None) == (clip.clip_id not in data.copies)
    assert set(data.copies.values()) <= set(data.targets)


def test_what_sounds_is_told_in_words(data):
    clip = data.clips("ac", "test")[0]
    events = data.truth(clip)["scene"]["events"]
    told = data.heard(clip).split(", ")
    assert len(told) == len(events)
    for words, event in zip(told, events, strict=True):
        assert words.startswith(event["name"].replace("_", " "))
        assert words.endswith(" s")


def test_no_copy_is_left_to_train_on(data):
    kept = {clip.clip_id for clip in data.pretraining.kept}
    assert kept.isdisjoint(data.copies)
    assert len(kept) >= 8  # of nine; a fingerprint may err
    assert {clip.clip_id for clip in data.pairs} == kept
    assert len(data.weak_captions) == len(kept)
