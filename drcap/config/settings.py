"""What all settings have in common: pydantic's checks, with errors of one line.

A field's annotation is its check. Types are strict: no text is taken for a number, and
no 1 for True. A rule that needs several fields is a ValueError in `__post_init__`.
"""

import functools
import json
import re
from dataclasses import asdict, fields, is_dataclass
from typing import Annotated, Any, Self, TypeVar, dataclass_transform

import pydantic
from pydantic import Field, TypeAdapter, ValidationError

from drcap.errors import ConfigError

T = TypeVar("T")
STRICT = pydantic.ConfigDict(strict=True, allow_inf_nan=False, extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Cosine = Annotated[float, Field(ge=-1, le=1)]


@dataclass_transform(frozen_default=True)
def settings(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass that raises ConfigError for an impossible value."""
    checked = pydantic.dataclasses.dataclass(frozen=True, config=STRICT)(cls)
    validate = checked.__init__

    @functools.wraps(validate)
    def init(self, *values, **named):
        try:
            validate(self, *values, **named)
        except ValidationError as error:
            raise ConfigError(_one_line(error)) from None

    checked.__init__ = init
    return checked


class Settings:
    """Settings that are written to JSON, and read from it."""

    def to_dict(self) -> dict[str, Any]:
        """Return every setting in nested dictionaries, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Build from (part of) what `to_dict` gives; ConfigError names a bad key."""
        return override(cls(), values)


def override(config: T, values: dict[str, Any]) -> T:
    """Return `config` with nested `values` replaced.

    config : a dataclass of settings
    Raises ConfigError, with the key's path, for an unknown key, a value of another type
    or an impossible value.
    """
    # as JSON, of which strict types take lists for tuples
    content = json.dumps(_merged(config, values), default=_plain)
    try:
        return _adapter(type(config)).validate_json(content, strict=True)
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def _merged(config: Any, values: dict[str, Any], where: str = "") -> dict[str, Any]:
    if not isinstance(values, dict):
        where = where or "config"
        raise ConfigError(f"{where}: expected keys and values, got {values!r}")
    merged = {field.name: getattr(config, field.name) for field in fields(config)}
    for key, value in values.items():
        path = f"{where}.{key}" if where else key
        if key not in merged:
            raise ConfigError(f"{path}: unknown key; known here: {', '.join(merged)}")
        nested = is_dataclass(merged[key])
        merged[key] = _merged(merged[key], value, path) if nested else value
    return merged


def _plain(value: object) -> object:
    return asdict(value) if is_dataclass(value) else repr(value)


@functools.cache
def _adapter(cls: type) -> TypeAdapter:
    return TypeAdapter(cls)


def _one_line(error: ValidationError) -> str:
    """Say "<key> must <rule>; got <value>" of each fault."""
    faults = []
    for fault in error.errors():
        key = ".".join(map(str, fault["loc"]))
        if fault["type"] == "value_error":  # a ValueError of ours, which names its keys
            faults.append(f"{key}.{fault['ctx']['error']}".removeprefix("."))
        else:
            rule = re.sub("^: [A-Z][a-z]* should", " must", f": {fault['msg']}")
            faults.append(f"{key}{rule}; got {fault['input']!r}")
    return "; ".join(faults)
