"""A stand-in for the whole captioner: it captions a file by its name."""

from pathlib import Path

from doubles import ToyCLAP

from drcap.config import Config
from drcap.retrieval import Match
from drcap.systems.base import Captioned


class FakeDRCap:
    """Files that are absent or named bad* fail; those named silent* carry a warning."""

    group_size = 2

    def __init__(self):
        self.clap = ToyCLAP()
        self.config = Config(seed=7)
        self.settings = self.loaded = None  # of the last call

    def from_pretrained(self, checkpoint=None, device="auto"):
        self.loaded = (checkpoint, device)
        return self

    def caption_stream(self, recordings, **settings):
        self.settings = settings
        for file in map(str, recordings):
            name = Path(file).stem.split("_")[0]
            if name.startswith("bad") or not Path(file).exists():
                yield Captioned(file, None, error=f"{file}: is not audio; convert it")
            elif name.startswith("silent"):
                yield Captioned(file, "Silence", warning=f"{file}: silent")
            else:
                similar = [Match(f"A {name} calls", 0.75)]
                yield Captioned(file, f"A {name} makes a sound", similar, 0.25)
