"""Nested dictionaries into dataclasses: unknown keys and wrong types are errors."""

from dataclasses import field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from drcap.errors import ConfigError


def override(config: Any, values: dict[str, Any], where: str = "") -> Any:
    """Return `config` with nested `values` replaced; ConfigError names a bad key."""
    if not isinstance(values, dict):
        where = where or "config"
        raise ConfigError(f"{where}: expected keys and values, got {values!r}")
    hints = get_type_hints(type(config))
    changes = {}
    for key, value in values.items():
        path = f"{where}.{key}" if where else key
        if key not in hints:
            raise ConfigError(f"{path}: unknown key; known here: {', '.join(hints)}")
        if is_dataclass(hints[key]):
            changes[key] = override(getattr(config, key), value, path)
        else:
            changes[key] = _checked_type(path, value, hints[key])
    return replace(config, **changes)


def _checked_type(path: str, value: Any, hint: Any) -> Any:
    """Return `value` in its annotated type: JSON has no tuples, and writes 1.0 as 1."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if isinstance(value, list):
        value = tuple(value)
    if type(value) is int and float in kinds:
        value = float(value)
    if not any(_is_a(value, kind) for kind in kinds):
        expected = hint.__name__ if isinstance(hint, type) else hint
        raise ConfigError(f"{path}: expected {expected}, got {value!r}")
    return value


def _is_a(value: Any, kind: Any) -> bool:
    if get_origin(kind) is tuple:
        return type(value) is tuple and all(type(v) is get_args(kind)[0] for v in value)
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    return type(value) is kind  # a bool is no int here


def later(default: Any) -> Any:
    """Declare a setting that is newer than results which are named by their settings.

    At its default `plain` leaves it out, so that they keep their names and bytes.
    """
    return field(default=default, metadata={"later": True})


def plain(config: Any) -> Any:
    """Return nested dictionaries as `asdict` does, less `later` settings at default."""
    if not is_dataclass(config):
        return config
    return {
        each.name: plain(value)
        for each in fields(config)
        for value in [getattr(config, each.name)]
        if not (each.metadata.get("later") and value == each.default)
    }


def require(holds: bool, key: str, rule: str, value: Any) -> None:
    """Raise ConfigError, "<key> must <rule>", unless the condition holds."""
    if not holds:
        raise ConfigError(f"{key} must {rule}; got {value!r}")
