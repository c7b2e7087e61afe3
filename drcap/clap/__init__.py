"""CLAP models (sec. II-A): one interface, `CLAP`, and three models that have it.

`model.TrainedCLAP` is the paper's, trained here by `train`; `laion.LaionCLAP` is
LAION's; `bridge.CaptionBridge` stands in where neither is at hand. `drcap.load_clap`
loads any of them by name.
"""

from drcap.clap.encoder import CLAP

__all__ = ["CLAP"]
