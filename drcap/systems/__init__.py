"""Every system of the tables, declared once (Tables I and II, sec. III-B).

The run graph reads the declarations at every job, so that importing them loads no
model: `load_class` does. base.py has the interface, and language_model.py what all
systems share that train a language model.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from drcap.systems.base import System


@dataclass(frozen=True)
class Declaration:
    """One system of the grid."""

    name: str  # of its experiments
    row: str  # the paper's name of it, where the paper has it
    setting: str  # supervised, which alone reads recordings, zero-shot or floor
    trains: str  # what `fit` trains; empty for nothing
    path: str  # its class, below drcap.systems


# in the order of Table I; drcap_seen's CLAP model has seen the target datasets
# fmt: off
SYSTEMS = {row[0]: Declaration(*row) for row in (
    ("prefix_aac", "Prefix AAC", "supervised", "mappers, head", "prefix_aac.PrefixAAC"),
    ("recap", "RECAP", "supervised", "cross-attention", "recap.RECAP"),
    ("enclap", "EnCLAP-large", "supervised", "encoder, adapter", "enclap.EnCLAP"),
    ("zeraucap", "ZerAuCap", "zero-shot", "", "zeraucap.ZerAuCap"),
    ("wsac", "WSAC", "zero-shot", "mapper, decoder", "wsac.WSAC"),
    ("wsac_shared", "WSAC, shared LM", "zero-shot", "mapper, adapter",
     "wsac.SharedWSAC"),
    ("soft_hard_prompts", "Zhang et al.", "zero-shot", "mapper, adapter",
     "soft_hard_prompts.SoftHardPrompts"),
    ("drcap_noise", "DRCap, noise", "zero-shot", "mapper, adapter", "wsac.NoisyDRCap"),
    ("drcap", "DRCap", "zero-shot", "mapper, adapter", "drcap.DRCap"),
    ("drcap_seen", "DRCap_LAION", "zero-shot", "mapper, adapter", "drcap.DRCap"),
    ("nearest_caption", "Nearest caption", "floor", "", "base.NearestCaption"),
    ("common_caption", "Most common caption", "floor", "", "base.CommonCaption"),
)}
# fmt: on


def load_class(name: str) -> "type[System]":
    """Import and return the class of a system of SYSTEMS; KeyError for another name."""
    module, _, kind = SYSTEMS[name].path.partition(".")
    return getattr(import_module(f"drcap.systems.{module}"), kind)
