"""What the notebooks share: set-up, recordings, tables, figures and the final record.

A notebook's parameters become one `Notebook`; printed, it says whether a setting is the
paper's, the authors' code's or ours. Tables and figures are shown as they are written.
"""

import os
import platform
import re
import textwrap
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, astuple, dataclass, field
from functools import cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soxr
import torch
from IPython import get_ipython
from IPython.display import Audio, Image, Markdown, display
from matplotlib.figure import Figure

from drcap import config as configs
from drcap import paths
from drcap.assets import asset_path
from drcap.atomic import write_text
from drcap.audio import find_recordings
from drcap.config import CLAPConfig, Config, override
from drcap.config.profiles import NAMES
from drcap.devices import resolve_device
from drcap.environment import hush
from drcap.errors import ConfigError
from drcap.plots import png, save_figure
from drcap.record import RECORD, keep_records, run_record
from drcap.retrieval import Match
from drcap.systems.base import Captioned
from soundscapes.dsp import SR
from soundscapes.events import GENERATORS

SMOKE_RECORDINGS = 3  # so many are enough to see that a notebook runs
VERSIONS = ("torch", "transformers", "peft", "faiss-cpu")
ORIGINS = {  # whose a setting is -> its line where it is as theirs, where not, and who
    "paper": ("as the paper", "unlike the paper", "the paper"),
    "authors": ("authors' code", "unlike the code", "the code"),
}
ANIMALS = {  # of the ten recordings -> words that name them, or their calls
    "cat": "cat|kitten|meow|mewl|purr",
    "cow": "cow|cattle|moo",
    "dog": "dog|puppy|puppie|bark|yip",
    "duck": "duck|quack",
    "frog": "frog|toad|croak|ribbit",
    "horse": "horse|pony|ponie|neigh|whinny|whinnie",
    "owl": "owl|hoot",
    "pig": "pig|hog|oink",
    "rooster": "rooster|chicken|hen|crow|cluck",
    "sheep": "sheep|lamb|bleat|baa",
}
PARAMETER = re.compile(r"^(\w+)[ :=]", re.MULTILINE)
INDENT, WIDTH = 18, 79  # characters of the printed configuration

Settings = Config | CLAPConfig


@dataclass
class Notebook:
    """One run of a notebook: its configuration, and what it has written so far."""

    name: str
    profile: str
    config: Settings
    paper: Settings
    reports: Path
    seeds: Sequence[int]  # of the captioners that it reads
    started: float = field(default_factory=time.time)
    written: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        """Profile, device, settings by whose they are (ours: if not as in `paper`)."""
        versions = [f"{name} {version(name)}" for name in VERSIONS]
        lines = {
            "profile": f"{self.profile}, {self._seeds}, on {resolve_device()}",
            **_by_origin(self.config, self.paper),
            "versions": ", ".join([f"python {platform.python_version()}", *versions]),
        }
        rest = " " * INDENT
        options = {"subsequent_indent": rest, "break_on_hyphens": False}
        return "\n".join(
            textwrap.fill(f"{key:<{INDENT}}{text}", WIDTH, **options)
            for key, text in lines.items()
        )

    @property
    def _seeds(self) -> str:
        several = "s" * (len(self.seeds) > 1)
        return f"seed{several} {', '.join(map(str, self.seeds))}"

    def recordings(self, folder: str = "") -> list[Path]:
        """Return the recordings of a folder; of the ten animals if it is empty."""
        files = find_recordings([folder or asset_path("animal-recordings")])
        return files[:SMOKE_RECORDINGS] if self.profile == "smoke" else files

    def table(self, frame: pd.DataFrame, stem: str, note: str = "") -> Markdown:
        """Write tables/<stem>.csv and .md, and show the latter."""
        note = f"{note} Profile {self.profile}, {self._seeds}.".strip()
        shown = show(frame, note)
        texts = {"csv": frame.to_csv(index=False), "md": shown.data}
        for suffix, text in texts.items():
            self.written.append(self.reports / "tables" / f"{stem}.{suffix}")
            write_text(self.written[-1], text)
        return shown

    def figure(self, figure: Figure, stem: str) -> Image:
        """Write figures/<stem>.png, and show it."""
        path = self.reports / "figures" / f"{stem}.png"
        save_figure(figure, path)
        self.written.append(path)
        return Image(path.read_bytes(), format="png")  # drawn again it may differ

    def finish(
        self, inputs: Iterable[Path | str], following: str = "", **extra: object
    ) -> Markdown:
        """Write the run's record; list the files written and name the next notebook.

        inputs : files and folders that the results depend on, recorded by checksum
        extra : anything else for the record, under its own name
        """
        record = run_record(
            started=self.started,
            seed=self.config.seed,
            config=self.config,
            inputs=inputs,
            command=[f"notebooks/{self.name}.ipynb"],
            profile=self.profile,
            seeds=[*self.seeds],
            **extra,
        )
        keep_records(self.reports, "notebooks", {self.name: record})
        lines = ["Written to `reports_dir`:", ""]
        for file in (*self.written, self.reports / RECORD):
            lines.append(f"- `{file.relative_to(self.reports).as_posix()}`")
        if following:
            lines += ["", f"Next: [{following}]({following}.ipynb)"]
        return Markdown("\n".join(lines))


def start(
    name: str,
    profile: str,
    seed: int,
    reports_dir: str,
    settings: Callable[[str], Settings] = configs.profile,
    seeds: Sequence[int] = (),
) -> Notebook:
    """Turn a notebook's parameters into its `Notebook`; seed torch; hush the libraries.

    reports_dir : where results go, in the repository; empty: reports/<profile>
    settings : profile -> the configuration that the notebook is about
    seeds : of the captioners whose results it reads; empty: `seed` alone

    ConfigError for an unknown profile, the folder of another one, or a parameter that
    papermill injected and the notebook does not declare.
    """
    cells = getattr(get_ipython(), "user_ns", {}).get("In", ["", ""])
    injected = [cell for cell in cells if cell.startswith("# Parameters\n")]
    known, *given = (re.findall(PARAMETER, cell) for cell in [cells[1], *injected])
    if unknown := [name for name in sum(given, []) if name not in known]:
        raise ConfigError(
            f"unknown parameter '{unknown[0]}'; known are {', '.join(known)}"
        )
    hush()
    torch.manual_seed(seed)
    config = override(settings(profile), {"seed": seed})
    reports = paths.REPOSITORY / (reports_dir or f"reports/{profile}")
    if reports.parent == paths.REPORTS and reports.name in {*NAMES} - {profile}:
        raise ConfigError(
            f"reports_dir: {reports_dir} holds the results of another profile than "
            f"{profile}; leave it empty"
        )
    read = seeds or [seed]
    return Notebook(name, profile, config, settings("paper"), reports, read)


def live() -> bool:
    """Tell whether a person runs this kernel: not under papermill, nor outside Jupyter.

    A front end for people lets a cell ask for input; papermill's client does not, and
    voila, which uses the same client, tells its address in the environment.
    """
    message = getattr(get_ipython(), "get_parent", dict)()
    asks = message.get("content", {}).get("allow_stdin", False)
    return asks or "VOILA_REQUEST_URL" in os.environ


@cache
def provenance() -> dict[str, Any]:
    """Return what the paper prints, and what the authors' code adds, by its name."""
    path = resources.files("drcap.config") / "provenance.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def play(*recordings: Path) -> Markdown | None:
    """Show players in a live kernel; elsewhere their bytes would stay in the file."""
    if not live():
        names = ", ".join(f"`{path.name}`" for path in recordings)
        return Markdown(f"Run this cell to listen to {names}.")
    for path in recordings:
        display(Markdown(f"`{path.name}`"), Audio(filename=str(path)))


def odd_sounds(sr: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Return sounds that captions hardly speak of, by name: (8 * sr,) float64."""
    rng, samples = np.random.default_rng(seed), 8 * sr
    waves = {"silence": np.zeros(samples)}
    waves["white noise"] = 0.1 * rng.standard_normal(samples)
    for name in ("piano", "drum", "speech"):
        wave = 0.3 * GENERATORS[name](rng, 8)
        waves[f"synthetic {name}"] = soxr.resample(wave, SR, sr)
    return waves


def show(frame: pd.DataFrame, note: str = "") -> Markdown:
    """Show a table as Markdown: three significant digits, the note beneath."""
    numeric = map(pd.api.types.is_numeric_dtype, frame.dtypes)
    table = frame.map(_cell).to_markdown(
        index=False,
        disable_numparse=True,
        colalign=["right" if right else "left" for right in numeric],
    )
    return Markdown(f"{table}\n\n{note}\n" if note else f"{table}\n")


def picture(figure: Figure) -> Image:
    """Show a figure as it would be written; the inline backend's takes more room."""
    return Image(png(figure), format="png")


def names(what: str, caption: str) -> bool:
    """Tell whether a caption holds one of the words of ANIMALS, or else `what`."""
    words = ANIMALS.get(what, re.escape(what.lower()))
    return re.search(rf"\b({words})(s|es|ing|ed)?\b", caption.lower()) is not None


def caption_table(results: Iterable[Captioned]) -> pd.DataFrame:
    """Tabulate results: file, caption, nearest retrieved one and its similarity, s."""
    rows = []
    for result in results:
        nearest, *_ = [*result.similar_captions, Match("", float("nan"))]
        caption = result.caption or result.error
        rows.append(
            [Path(result.file).name, caption, *astuple(nearest), result.seconds]
        )
    retrieved = "nearest retrieved caption", "similarity"
    return pd.DataFrame(rows, columns=["file", "caption", *retrieved, "seconds"])


def _cell(value: object) -> str:
    if isinstance(value, float):
        if pd.isna(value):
            return "–"
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def _by_origin(config: Settings, reference: Settings) -> dict[str, str]:
    """Return the settings by origin, in lines; of ours, those unlike `reference`."""
    both = (pd.json_normalize(asdict(each)) for each in (config, reference))
    values, standard = (frame.to_dict("records")[0] for frame in both)  # dotted names
    known, lines = provenance()[type(config).__name__], {}
    for origin, (same, other, whose) in ORIGINS.items():
        for name, given in known[origin].items():
            text, line = f"{name} {_text(values.pop(name))}", same
            if text != f"{name} {_text(given)}":
                text, line = f"{text} ({whose}: {_text(given)})", other
            lines.setdefault(line, []).append(text)
    lines["ours"] = [
        f"{name} {_text(value)}"
        for name, value in values.items()
        if name == "clap" or value not in (standard[name], None) and name != "seed"
    ]
    return {line: ", ".join(texts) for line, texts in lines.items() if texts}


def _text(value: object) -> str:
    if isinstance(value, tuple | list):
        return "+".join(map(str, value))
    return repr(value) if " " in str(value) else str(value)
