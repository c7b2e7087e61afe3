"""CLAP models: one interface (encoder.py), one implementation a file."""

from drcap.clap.encoder import CLAP

__all__ = ["CLAP"]
