"""The folder of a training run: config.json, log.csv and state.safetensors.

A killed run resumes from them bit for bit. A folder that holds a run of something else
is refused.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pandas as pd
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from drcap.atomic import atomic_path, write_json
from drcap.errors import ConfigError, check_choice

SECONDS = "seconds.json"
MOMENTS = ("exp_avg", "exp_avg_sq")  # Adam's state, beside its step count


def refuse_another_run(folder: Path, description: Mapping[str, object]) -> None:
    """Raise ConfigError if `folder` holds a run whose config.json differs."""
    path = Path(folder) / "config.json"
    if not path.exists():
        return
    there, here = json.loads(path.read_text()), json.loads(json.dumps(description))
    differing = [key for key in here if there.get(key) != here[key]]
    if differing:
        raise ConfigError(
            f"{folder}: holds a run of another {' and '.join(differing)}; "
            "name another folder, or delete this one"
        )


def write_log(folder: Path, rows: list[dict], columns: Sequence[str]) -> None:
    """Write one row a step to log.csv; a column that a row lacks stays empty."""
    with atomic_path(Path(folder) / "log.csv") as path:
        pd.DataFrame(rows).reindex(columns=list(columns)).to_csv(path, index=False)


def track(name: str | None, folder: Path, step: int) -> Callable[[list[dict]], None]:
    """Return what sends the rows of a log beyond `step` to a tracker, each once.

    name : "tensorboard", whose files are in `folder`, or "wandb"; None: nothing is sent

    ConfigError for another name, or if the package is not installed.
    """
    if name is None:
        return lambda rows: None
    check_choice("tracker", name, ("tensorboard", "wandb"), ConfigError)
    from accelerate import PartialState
    from accelerate.tracking import TensorBoardTracker, WandBTracker

    PartialState()  # which trackers ask whose process writes
    try:
        if name == "wandb":
            tracker = WandBTracker("drcap", name=Path(folder).name)
        else:
            tracker = TensorBoardTracker(name, folder)
        tracker.start()
    except ImportError:
        remedy = f"pip install {name}, or leave the tracker out"
        raise ConfigError(f"tracker: {name} is not installed; {remedy}") from None
    sent = step or -1  # a log may begin with a row of step 0

    def send(rows: list[dict]) -> None:
        nonlocal sent
        for row in rows:
            if row["step"] > sent:
                sent = row["step"]
                tracker.log({key: row[key] for key in row if key != "step"}, sent)

    return send


def read_log(folder: Path, integers: Sequence[str] = ("step",)) -> pd.DataFrame:
    """Read a run's log.csv: `integers` as int, other columns as float, NaN if empty."""
    # pandas' own parser of numbers may be off in the last bit
    log = pd.read_csv(Path(folder) / "log.csv", dtype=str)
    return log.astype({name: int if name in integers else float for name in log})


def save_state(
    folder: Path,
    step: int,
    optimiser: torch.optim.Adam,
    parameters: Mapping[str, nn.Parameter],
    buffers: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> None:
    """Write parameters, Adam's moments and buffers to state.safetensors."""
    tensors = {f"buffer/{name}": buffer for name, buffer in buffers.items()}
    for name, parameter in parameters.items():
        tensors[f"parameter/{name}"] = parameter.detach()
        # a parameter that no loss depends on has no moments
        state = optimiser.state.get(parameter, {})
        tensors |= {f"{key}/{name}": state[key] for key in MOMENTS if key in state}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_path(Path(folder) / "state.safetensors") as path:
        # one entry: safetensors writes several in any order
        save_file(tensors, path, metadata={"step": str(step)})


def saved_step(folder: Path) -> int:
    """Return the step of the last saved state, 0 if there is none."""
    path = Path(folder) / "state.safetensors"
    if not path.exists():
        return 0
    with safe_open(path, framework="pt") as state:
        return int(state.metadata()["step"])


def load_state(
    folder: Path,
    optimiser: torch.optim.Adam,
    parameters: Mapping[str, nn.Parameter],
    buffers: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> int:
    """Restore in place what `save_state` wrote; return its step, 0 without a state."""
    if (step := saved_step(folder)) == 0:
        return 0
    with safe_open(Path(folder) / "state.safetensors", framework="pt") as state:
        names = set(state.keys())
        for name, buffer in buffers.items():
            buffer.copy_(state.get_tensor(f"buffer/{name}"))
        for name, parameter in parameters.items():
            parameter.data.copy_(state.get_tensor(f"parameter/{name}"))
            if f"{MOMENTS[0]}/{name}" not in names:
                continue
            moments = {key: state.get_tensor(f"{key}/{name}") for key in MOMENTS}
            moments = {key: moment.to(parameter) for key, moment in moments.items()}
            optimiser.state[parameter] = {"step": torch.tensor(float(step)), **moments}
    return step


def saved_weights(folder: Path) -> int:
    """Count the floating-point weights in the safetensors files below a folder."""
    total = 0
    for path in Path(folder).rglob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            tensors = [file.get_slice(name) for name in file.keys()]  # noqa: SIM118
            floats = [tensor for tensor in tensors if "F" in tensor.get_dtype()]
            total += sum(math.prod(tensor.get_shape()) for tensor in floats)
    return total


@contextmanager
def timed(folder: Path) -> Iterator[None]:
    """Add the seconds of the training inside to the run's seconds.json.

    Adds nothing where no step was trained.
    """
    before, started = saved_step(folder), time.monotonic()
    yield
    if saved_step(folder) != before:
        spent = time.monotonic() - started
        write_json(folder / SECONDS, {"seconds": training_seconds(folder) + spent})


def training_seconds(folder: Path) -> float:
    """Return the seconds that a run has trained for; 0 if it trains nothing."""
    path = folder / SECONDS
    return json.loads(path.read_text())["seconds"] if path.exists() else 0.0
