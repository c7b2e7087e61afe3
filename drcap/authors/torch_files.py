"""Other people's checkpoints, written by torch.save: read without running code.

Objects other than tensors and plain values are refused, and every key must be expected:
a key that is passed over in silence would leave a weight at its random start. Every
function raises a CheckpointError that names the file and what is wrong with it.
"""

import pickle
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import torch

from drcap.errors import CheckpointError

Tensors = dict[str, torch.Tensor]
LISTED = 12  # keys of each kind that an error names


def read(path: Path) -> object:
    """Return what a file holds, on the CPU."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        problem = "no such file; check the path"
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error):
            problem = "not written by torch.save; check that it is the right file"
        else:
            problem = (
                "holds other objects than tensors and plain values, which could run "
                "code on loading; where you trust it, save its tensors again, alone "
                "and under the same keys"
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error) else "empty"
        problem = f"damaged ({reason}); copy it again"
    raise CheckpointError(f"{path}: {problem}")


def named(path: Path, content: object) -> dict[str, object]:
    """Return a dictionary's values by name, without a wrapper's prefix `module.`."""
    if isinstance(content, Mapping) and all(isinstance(key, str) for key in content):
        return {key.removeprefix("module."): value for key, value in content.items()}
    raise CheckpointError(
        f"{path}: expected tensors by name, found {described(content)}"
    )


def tensors(path: Path, content: object) -> Tensors:
    """Return the values of `named`, which must all be tensors."""
    values = named(path, content)
    for name, value in values.items():
        if not torch.is_tensor(value):
            raise CheckpointError(
                f"{path}: expected {name} to be a tensor, found {described(value)}"
            )
    return values


def described(content: object) -> str:
    """Describe what a file holds, for a message."""
    if torch.is_tensor(content):
        return f"a tensor {tuple(content.shape)}"
    if isinstance(content, Mapping):
        return f"a dictionary with the keys {_some(map(str, content))}"
    return f"an object of type {type(content).__name__}"


def check_keys(
    path: Path, what: str, keys: Collection[str], expected: Collection[str]
) -> None:
    """List missing and unexpected keys, if there are any."""
    faults = {
        "missing keys": set(expected) - set(keys),
        "unexpected keys": set(keys) - set(expected),
    }
    lists = [f"{fault}: {_some(sorted(odd))}" for fault, odd in faults.items() if odd]
    if lists:
        raise CheckpointError(f"{path}: not {what}; {'; '.join(lists)}")


def check_shapes(
    path: Path, values: Tensors, expected: Mapping[str, Collection[int]]
) -> None:
    """Name a tensor of another shape, if there is one."""
    for name, shape in expected.items():
        if tuple(values[name].shape) != tuple(shape):
            raise CheckpointError(
                f"{path}: of another size: expected {name} to be {tuple(shape)}, "
                f"found {tuple(values[name].shape)}"
            )


def _some(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "none") + more
