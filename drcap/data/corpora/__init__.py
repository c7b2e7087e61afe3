"""The corpora of a profile: two domains, and what CLAP may be trained on (sec. III-A).

- `base.py`        what the grid asks of them
- `procedural.py`  soundscapes in the layouts of the real datasets, built where missing
- `prepared.py`    the real datasets, as `drcap data prepare` leaves them
"""

from pathlib import Path

from drcap import paths
from drcap.config import SoundscapesConfig, corpora_profile
from drcap.data.corpora.base import Corpora
from drcap.data.corpora.prepared import PreparedCorpora
from drcap.data.corpora.procedural import ProceduralCorpora
from drcap.data.soundscapes.corpora import build

__all__ = [
    "Corpora",
    "PreparedCorpora",
    "ProceduralCorpora",
    "corpora",
    "kind_of",
]


def corpora(
    profile: str, root: Path | None = None, *, progress: bool = True
) -> Corpora:
    """Return the corpora of a profile; procedural ones are built if they are not there.

    root : the folder that holds them; None: where drcap puts them
    """
    config = corpora_profile(profile)
    if isinstance(config, SoundscapesConfig):
        return ProceduralCorpora(config, root or build(config, progress=progress))
    return PreparedCorpora(config, root or paths.datasets())


def kind_of(profile: str) -> type[Corpora]:
    """Return the class of a profile's corpora, which names them before any is read."""
    procedural = isinstance(corpora_profile(profile), SoundscapesConfig)
    return ProceduralCorpora if procedural else PreparedCorpora
