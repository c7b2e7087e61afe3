"""The systems that DRCap is compared with (Tables I and II), one file each.

In reading order:

- `interface.py`       what every system can do: fit, caption, save, load
- `language_model.py`  one training loop and one generation for those that train an LM
- `sound_events.py`    AudioSet's classes in the CLAP space
- `floors.py`          the nearest caption, the most common caption
- `noise.py`           noise in the place of projection; DRCap with it
- `wsac.py`, `soft_hard_prompts.py`   zero-shot, trained on captions
- `zeraucap.py`        zero-shot, not trained
- `prefix_aac.py`, `recap.py`, `enclap.py` (with `codec.py`)   supervised
"""

from drcap.baselines.enclap import EnCLAP
from drcap.baselines.floors import CommonCaption, NearestCaption
from drcap.baselines.interface import Baseline, ClipBatch, TrainSet
from drcap.baselines.noise import NoisyDRCap
from drcap.baselines.prefix_aac import PrefixAAC
from drcap.baselines.recap import RECAP
from drcap.baselines.soft_hard_prompts import SoftHardPromptsBaseline
from drcap.baselines.wsac import WSAC, SharedWSAC
from drcap.baselines.zeraucap import ZerAuCap

BASELINES: dict[str, type[Baseline]] = {  # name in the grid -> system
    "prefix_aac": PrefixAAC,
    "recap": RECAP,
    "enclap": EnCLAP,
    "zeraucap": ZerAuCap,
    "wsac": WSAC,
    "wsac_shared": SharedWSAC,
    "soft_hard_prompts": SoftHardPromptsBaseline,
    "drcap_noise": NoisyDRCap,
    "nearest_caption": NearestCaption,
    "common_caption": CommonCaption,
}

__all__ = ["BASELINES", "Baseline", "ClipBatch", "TrainSet"]
