"""Options that the commands share, and what they mean to a captioner."""

import functools
import inspect
import json
import os
import sys
import tomllib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from drcap.errors import ConfigError

if TYPE_CHECKING:
    from drcap.clap import CLAP


def option(kind: Any, text: str, *names: str, default: str = "", **more: Any) -> Any:
    """Return the annotation of an option; `text` is its help, `default` is shown."""
    shown = {"show_default": default} if default else {}
    return Annotated[kind, typer.Option(*names, help=text, **shown, **more)]


def argument(kind: Any, metavar: str, text: str) -> Any:
    """Return the annotation of an argument."""
    return Annotated[kind, typer.Argument(metavar=metavar, help=text)]


CAPTIONS = "AudioCaps' training captions"  # datastore and support where none is given
OWN = "the captioner's"  # setting, where none is given
AsJson = option(bool, "Print JSON.", "--json")
Profile = option(str, "smoke, demo, paper, smoke-real or demo-real.")
Seed = option(int, "Of weights, order and draws.", min=0)
Setting = option(list[str] | None, "Change a setting: KEY=VALUE.", "--set")
Device = option(str, "auto, cpu, cuda or cuda:N.")
Checkpoint = option(str | None, "A trained captioner.", default="the shipped one")
MBR = "first_beam, or mbr: the one most like captions of such audio."
EXCLUDING = (
    ("captions", "datastore"),
    ("captions", "support"),
    ("datastore", "no_retrieval"),
    ("support", "no_projection"),
)


@dataclass(frozen=True, kw_only=True)
class CaptionOptions:
    """How to caption: options that commands share, see `with_caption_options`.

    Raises ConfigError if two exclude each other.
    """

    datastore: option(Path | None, "Datastore to retrieve from.", default=CAPTIONS)
    support: option(Path | None, "Datastore to project onto.", default=CAPTIONS)
    captions: option(Path | None, "File that serves as datastore and support.")
    top_k: option(int | None, "Captions in a prompt.", min=0, default=OWN)
    beams: option(int | None, "Of the beam search.", min=1, default=OWN)
    choice: option(str | None, MBR, default=OWN)
    sample: option(bool | None, "Draw words at random, no beam search.", "--sample")
    temperature: option(float | None, "Of the draws: below 1 for likelier words.")
    top_p: option(float | None, "Draw from the likeliest words of this probability.")
    seed: option(int | None, "Of the draws.", min=0)
    no_retrieval: option(bool, "Prompt without similar captions.", "--no-retrieval")
    no_projection: option(bool, "Use audio embeddings as they are.", "--no-projection")

    def __post_init__(self):
        for pair in EXCLUDING:
            if all(getattr(self, name) for name in pair):
                first, second = (f"--{name.replace('_', '-')}" for name in pair)
                raise ConfigError(f"{first} and {second} exclude each other: drop one")
        for name in () if self.sample else ("temperature", "top_p", "seed"):
            if getattr(self, name) is not None:
                option = f"--{name.replace('_', '-')}"
                raise ConfigError(f"{option} is of draws: add --sample, or drop it")

    def settings(self, clap: "CLAP") -> dict[str, Any]:
        """Return the keywords of `DRCap.caption_stream`; None leaves it the choice."""
        from drcap.data.clip import read_captions
        from drcap.retrieval import CaptionDatastore

        folders = {"datastore": self.datastore, "support": self.support}
        given = {
            name: folder and CaptionDatastore.load(folder, clap)
            for name, folder in folders.items()
        }
        if self.captions:
            captions = CaptionDatastore.build(read_captions(self.captions), clap)
            given = dict.fromkeys(given, captions)
        return given | {
            "top_k": self.top_k,
            "num_beams": self.beams,
            "choice": self.choice,
            "sample": self.sample,
            "sampling_temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "retrieval": False if self.no_retrieval else None,
            "projection": False if self.no_projection else None,
        }


def with_caption_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the fields of `CaptionOptions` as options, all in `chosen`."""
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(field.name, kind, annotation=field.type, default=None)
        for field in fields(CaptionOptions)
    ]
    parameters = inspect.signature(command).parameters
    own = [each for name, each in parameters.items() if name != "chosen"]

    @functools.wraps(command)
    def run(**values):
        names = [each.name for each in shared]
        chosen = CaptionOptions(**{name: values.pop(name) for name in names})
        return command(**values, chosen=chosen)

    run.__signature__ = inspect.Signature([*own, *shared])
    run.__annotations__ = {each.name: each.annotation for each in [*own, *shared]}
    return run


def changed(config: Any, settings: list[str] | None, **more: Any) -> Any:
    """Return `config` with settings such as "training.steps=12", and with `more`.

    A value is TOML's, else text. Raises ConfigError as `override` does, and for what is
    no KEY=VALUE.
    """
    from drcap.config import override

    config = override(config, more)
    for text in settings or ():
        key, equals, value = text.partition("=")
        for line in (text, f"{key}={json.dumps(value.strip())}") if equals else ():
            with suppress(tomllib.TOMLDecodeError):
                config = override(config, tomllib.loads(line))
                break
        else:
            raise ConfigError(f"--set {text}: expected KEY=VALUE, as training.steps=12")
    return config


def print_all(
    results: Iterable[Any],
    total: int | None,
    title: str,
    line: Callable[[Any], str | None],
    unit: str = "file",
) -> list:
    """Print results as they come, complaints on stderr; return them all.

    results : with `error` and `warning`      line : the text of one; None: nothing
    """
    from tqdm import tqdm

    done = []
    with tqdm(total=total, desc=title, unit=unit) as bar:
        for result in results:
            if complaint := result.error or result.warning:
                bar.write(f"drcap: {complaint}", file=sys.stderr)
            if (text := line(result)) is not None:
                bar.write(text)
            sys.stdout.flush()
            done.append(result)
            bar.update()
    return done


def json_line(result: Any, **facts: Any) -> str:
    """Return a result as JSON: its file, then `facts` and its warning, or its error."""
    if result.error:
        facts = {"error": result.error}
    elif result.warning:
        facts["warning"] = result.warning
    return json.dumps({"file": result.file, **facts}, ensure_ascii=False)


def writable(folder: Path) -> Path:
    """Make a folder for results, before the work that fills it, and return it.

    Raises ConfigError if it is a file, or cannot be made or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        problem = None if os.access(folder, os.W_OK) else "cannot be written"
    except FileExistsError:
        problem = "is a file"
    except OSError as error:
        problem = str(error.strerror)
    if problem:
        raise ConfigError(f"{folder}: {problem}; name another folder")
    return folder
