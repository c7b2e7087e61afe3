import numpy as np
import pytest

from drcap import assets
from drcap.clap.realism import ACCEPTED, tagger_check
from drcap.clap.yamnet import YAMNet
from soundscapes.events import GENERATORS

pytestmark = pytest.mark.slow
NOTHING = ("Silence", "Static", "Sine wave", "Radio", "Cacophony")


@pytest.fixture(scope="module")
def yamnet():
    return YAMNet(assets.asset_path("yamnet"))


def test_each_accepted_name_is_one_of_audiosets(yamnet):
    assert ACCEPTED.keys() == GENERATORS.keys()
    names = {name for accepted in ACCEPTED.values() for name in accepted}
    assert names <= set(yamnet.class_names)


def test_most_often_the_tagger_recognises_at_least_twenty_classes(yamnet):
    table = tagger_check(seeds=1, seconds=3.0, tagger=yamnet)
    assert list(table.columns) == ["class", "hits", "recognised", "top5"]
    assert len(table) == len(GENERATORS)
    assert table.recognised.sum() >= 20, table


def test_a_tagger_that_hears_nothing_right_recognises_nothing(yamnet):
    class Deaf:
        class_names = yamnet.class_names

        def tag(self, waveform):
            heard = np.zeros((1, len(self.class_names)))
            for place, name in enumerate(NOTHING):
                heard[0, self.class_names.index(name)] = 1 - 0.1 * place
            return heard

    table = tagger_check(seeds=1, seconds=0.5, tagger=Deaf())
    assert table.hits.max() == 0 and not table.recognised.any()
    assert set(table.top5) == {"; ".join(NOTHING)}
