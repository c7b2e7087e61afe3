"""Other people's checkpoints, written by torch.save: read without running code.

Objects other than tensors and plain values are refused, and every key must be expected:
a key that is passed over in silence would leave a weight at its random start. Every
function raises a CheckpointError that names the file and what is wrong with it.
"""

import pickle
from collections.abc import Iterable, Mapping
from pathlib import Path
from textwrap import shorten

import torch

from drcap.errors import CheckpointError

Tensors = dict[str, torch.Tensor]
LISTED = 600  # letters of the keys that an error names


def read(path: Path) -> object:
    """Return what a file holds, on the CPU."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        problem = "no such file; check the path"
    except pickle.UnpicklingError as error:
        problem = (
            "not written by torch.save; check that it is the right file"
            if "Unsupported operand" in str(error)
            else "holds other objects than tensors and plain values, which could run "
            "code on loading; where you trust it, save its tensors again, alone"
        )
    except Exception as error:
        reason = (str(error).strip() or "empty").splitlines()[0]
        problem = f"damaged ({reason}); copy it again"
    raise CheckpointError(f"{path}: {problem}")


def tensors(path: Path, content: object) -> Tensors:
    """Return a dictionary's tensors by name, without a wrapper's prefix `module.`."""
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f"{path}: expected tensors by name, found {described(content)}"
        )
    for name, value in content.items():
        if not torch.is_tensor(value):
            raise CheckpointError(
                f"{path}: expected {name} to be a tensor, found {described(value)}"
            )
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def described(content: object) -> str:
    """Describe what a file holds, for a message."""
    if torch.is_tensor(content):
        return f"a tensor {tuple(content.shape)}"
    if isinstance(content, Mapping):
        return f"a dictionary with the keys {_listed(map(str, content))}"
    return f"an object of type {type(content).__name__}"


def check(
    path: Path, what: str, values: Tensors, expected: Mapping[str, Iterable[int]]
) -> None:
    """List missing and unexpected keys, or name a tensor of another shape.

    what : what the file should be, for the message     expected : key -> shape
    """
    missing, odd = expected.keys() - values.keys(), values.keys() - expected.keys()
    lists = {"missing keys": sorted(missing), "unexpected keys": sorted(odd)}
    faults = [f"{fault}: {_listed(keys)}" for fault, keys in lists.items() if keys]
    if faults:
        raise CheckpointError(f"{path}: not {what}; {'; '.join(faults)}")
    for name, shape in expected.items():
        if tuple(values[name].shape) != tuple(shape):
            raise CheckpointError(
                f"{path}: of another size: expected {name} to be {tuple(shape)}, "
                f"found {tuple(values[name].shape)}"
            )


def _listed(names: Iterable[str]) -> str:
    return shorten(", ".join(names), LISTED, placeholder=" and more") or "none"
