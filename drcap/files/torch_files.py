"""Files that torch.save wrote elsewhere: read without running code, key by key.

In: other people's checkpoints. Out: tensors, or one line that says why not. Objects
other than tensors and plain values are refused, and every key must be expected: a key
that is passed over in silence would leave a weight at its random start.
"""

import pickle
from collections.abc import Collection, Mapping
from pathlib import Path

import torch

from drcap.errors import CheckpointError

Tensors = dict[str, torch.Tensor]
Shapes = Mapping[str, tuple[int, ...]]
LISTED = 12  # keys of each kind that an error names


def read(path: Path) -> object:
    """Return what a file holds, on the CPU; CheckpointError if it is not to be read."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: no such file; check the path") from None
    except pickle.UnpicklingError as error:
        if "Unsupported operand" in str(error):
            raise CheckpointError(
                f"{path}: not written by torch.save; check that it is the right file"
            ) from None
        raise CheckpointError(
            f"{path}: holds other objects than tensors and plain values, which could "
            "run code on loading; where you trust it, save its tensors again, alone "
            "and under the same keys"
        ) from None
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error) else "empty"
        raise CheckpointError(f"{path}: damaged ({reason}); copy it again") from None


def named(path: Path, content: object) -> dict[str, object]:
    """Return a dictionary's values by name, without a wrapper's prefix `module.`."""
    if not isinstance(content, Mapping) or not all(isinstance(k, str) for k in content):
        raise CheckpointError(
            f"{path}: expected tensors by name, found {described(content)}"
        )
    return {name.removeprefix("module."): each for name, each in content.items()}


def tensors(path: Path, values: Mapping[str, object]) -> Tensors:
    """Return the values if all are tensors; CheckpointError names one that is not."""
    for name, value in values.items():
        if not torch.is_tensor(value):
            raise CheckpointError(
                f"{path}: expected {name} to be a tensor, found {described(value)}"
            )
    return dict(values)


def described(content: object) -> str:
    """Say what a file holds, for a message."""
    if torch.is_tensor(content):
        return f"a tensor {tuple(content.shape)}"
    if isinstance(content, Mapping):
        return f"a dictionary with the keys {_some(map(str, content))}"
    return f"an object of type {type(content).__name__}"


def check_keys(
    path: Path, what: str, found: Collection[str], expected: Collection[str]
) -> None:
    """Raise a CheckpointError that lists missing and unexpected keys, if any."""
    faults = {
        "missing keys": set(expected) - set(found),
        "unexpected keys": set(found) - set(expected),
    }
    lists = [
        f"{fault}: {_some(sorted(keys))}" for fault, keys in faults.items() if keys
    ]
    if lists:
        raise CheckpointError(f"{path}: not {what}; {'; '.join(lists)}")


def check_shapes(path: Path, found: Tensors, expected: Shapes) -> None:
    """Raise a CheckpointError that names a tensor of another shape, if any."""
    for name, shape in expected.items():
        if tuple(found[name].shape) != tuple(shape):
            raise CheckpointError(
                f"{path}: of another size: expected {name} to be {tuple(shape)}, "
                f"found {tuple(found[name].shape)}"
            )


def _some(names) -> str:
    names = list(names)
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return (", ".join(names[:LISTED]) or "none") + more
