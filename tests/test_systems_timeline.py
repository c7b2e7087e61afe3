"""A recording is captioned window by window, in bounded memory, neighbours merged."""

import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from drcap.systems.base import Captioned
from drcap.systems.timeline import BATCH_SIZE, Segment, caption_in_time, clock

SR = 8_000


class Loudness:
    """Captions a window by how loud it is, two at a time."""

    clap = SimpleNamespace(sr=SR)

    def __init__(self):
        self.waiting = self.longest = 0

    def caption_stream(self, windows, **options):
        self.options = options
        for window in windows:
            self.longest = max(self.longest, len(window))
            loud = np.abs(window).mean() > 0.25
            yield Captioned(None, "Loud" if loud else "Quiet")


@pytest.fixture
def recording(tmp_path):
    """Return 25.5 s at another rate: 10 s loud, 10 s quiet, 5.5 s loud."""
    levels = np.repeat([0.5, 0.1, 0.5], [100_000, 100_000, 55_000])
    signs = np.where(np.arange(len(levels)) % 20 < 10, 1, -1)
    soundfile.write(tmp_path / "long.wav", (levels * signs).astype("f4"), 10_000)
    return tmp_path / "long.wav"


def test_equal_neighbours_are_one_segment(recording):
    model = Loudness()
    segments = [*caption_in_time(model, recording, 5, top_k=2)]
    name = str(recording)
    assert segments == [
        Segment(name, 0, 10, "Loud"),
        Segment(name, 10, 20, "Quiet"),
        Segment(name, 20, 25, "Loud"),  # half a second is left out
    ]
    assert model.options == {"top_k": 2, "batch_size": BATCH_SIZE}
    assert model.longest == 5 * SR  # never the whole recording


def test_memory_does_not_grow_with_the_length(tmp_path):
    def peak(seconds):
        samples = np.random.default_rng(0).uniform(-1, 1, 10_000 * seconds)
        soundfile.write(tmp_path / "long.wav", samples, 10_000)
        tracemalloc.start()
        for _ in caption_in_time(Loudness(), tmp_path / "long.wav", 5):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(600) < 1.1 * peak(60)


def test_a_late_fault_follows_what_could_be_read(recording):
    samples, rate = soundfile.read(recording)
    samples[240_000] = np.nan
    soundfile.write(recording, samples, rate, subtype="FLOAT")
    *whole, fault = caption_in_time(Loudness(), recording, 5)
    assert [segment.caption for segment in whole] == ["Loud", "Quiet"]
    assert fault.caption is None and str(recording) in fault.error
    [absent] = caption_in_time(Loudness(), recording.with_name("no.wav"), 5)
    assert "no.wav" in absent.error


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00.000"), (59.9996, "00:01:00.000"), (3723.5, "01:02:03.500")],
)
def test_times_are_those_of_subtitles(seconds, text):
    assert clock(seconds) == text
    assert clock(seconds, ",") == text.replace(".", ",")
