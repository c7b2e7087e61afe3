"""Errors that are a user's to mend: one line, without a traceback, exit code 2.

Each message names the file or key, says what is wrong with it and what to do.
"""

from collections.abc import Iterable


class DRCapError(Exception):
    """Base of every error that a user can mend."""


class ConfigError(DRCapError):
    """An unknown key or an impossible value in a configuration."""


class AssetError(DRCapError):
    """A third-party weight or data file is missing or damaged."""


class AudioError(DRCapError):
    """A recording cannot be read, or holds nothing that can be captioned."""


class DatasetError(DRCapError):
    """A dataset's folder or annotation file is missing or malformed."""


class DatasetAbsentError(DatasetError):
    """A dataset's annotation file is not there at all, rather than malformed."""


class DatastoreError(DRCapError):
    """A caption datastore is missing, damaged, or made by another encoder."""


class CheckpointError(DRCapError):
    """A saved captioner is missing, incomplete, or does not fit its models."""


class MetricError(DRCapError):
    """A metric was asked for by name and cannot be computed here."""


def check_choice(
    what: str, value: object, known: Iterable[str], error: type[DRCapError]
) -> None:
    """Raise `error`, which lists what is known, if `value` is none of it."""
    if value not in (known := [*known]):
        raise error(f"{what}: unknown {value!r}; choose one of {', '.join(known)}")
