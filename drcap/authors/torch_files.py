"""Other people's checkpoints, read without running code.

Objects other than tensors and plain values are refused, and every key must be expected:
a key that is passed over in silence would leave a weight at its random start. Every
function raises a CheckpointError that names the file and what is wrong with it.
"""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten

import torch
from safetensors.torch import load_file

from drcap.errors import CheckpointError

Tensors = dict[str, torch.Tensor]
LISTED = 600  # letters of the keys that an error names


def read(path: Path) -> object:
    """Return what torch.save or safetensors wrote, on the CPU."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        problem = "no such file; check the path"
    except pickle.UnpicklingError:
        problem = (
            "not written by torch.save, or holds other objects than tensors and plain "
            "values, which could run code on loading; save its tensors again, alone"
        )
    except Exception as error:
        reason = (str(error).strip() or "empty").splitlines()[0]
        problem = f"damaged ({reason}); copy it again"
    raise CheckpointError(f"{path}: {problem}")


def tensors(path: Path, content: object) -> Tensors:
    """Return a dictionary's tensors by name, without a wrapper's prefix `module.`."""
    content = content if isinstance(content, Mapping) else {"the content": content}
    odd = [name for name, value in content.items() if not torch.is_tensor(value)]
    if odd:
        raise CheckpointError(f"{path}: {odd[0]} is not a tensor; expected tensors")
    return {str(key).removeprefix("module."): value for key, value in content.items()}


def check(
    path: Path, what: str, values: Tensors, expected: Mapping[str, Sequence[int]]
) -> None:
    """List missing and unexpected keys and tensors of another shape.

    what : what the file should be, for the message     expected : key -> shape
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in values.items()}
    faults = {
        "missing keys": sorted(expected.keys() - shapes.keys()),
        "unexpected keys": sorted(shapes.keys() - expected.keys()),
        "of another size": [
            f"{name} is {shapes[name]} in place of {tuple(shape)}"
            for name, shape in expected.items()
            if name in shapes and shapes[name] != tuple(shape)
        ],
    }
    texts = [
        f"{fault}: {shorten(', '.join(names), LISTED, placeholder=' and more')}"
        for fault, names in faults.items()
        if names
    ]
    if texts:
        raise CheckpointError(f"{path}: not {what}; {'; '.join(texts)}")
