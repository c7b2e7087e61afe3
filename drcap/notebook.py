"""What the notebooks share: set-up, recordings, tables, figures and the final record.

A notebook's parameters become one `Notebook`; printed, it shows the configuration and
where that differs from the paper's. Tables and figures are shown as they are written.
"""

import platform
import re
import textwrap
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, astuple, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from IPython import get_ipython
from IPython.display import Audio, Image, Markdown
from matplotlib.figure import Figure

from drcap import cache, paths
from drcap import config as configs
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

SMOKE_RECORDINGS = 3  # so many are enough to see that a notebook runs
VERSIONS = ("torch", "transformers", "peft", "faiss-cpu")
PARAMETER = re.compile(r"^(\w+)[ :=]", re.MULTILINE)
INDENT, WIDTH = 12, 79  # characters of the printed configuration; the least indent

Settings = Config | CLAPConfig


@dataclass
class Notebook:
    """One run of a notebook: its configuration, and what it has written so far."""

    name: str
    profile: str
    config: Settings
    paper: Settings
    reports: Path
    started: float = field(default_factory=time.time)
    written: list[Path] = field(default_factory=list)

    def __str__(self) -> str:
        """The configuration, its differences from the paper's, versions and device."""
        versions = [f"{name} {version(name)}" for name in VERSIONS]
        lines = {
            "profile": f"{self.profile}, on {resolve_device()}",
            **_described(asdict(self.config), asdict(self.paper)),
            "versions": ", ".join([f"python {platform.python_version()}", *versions]),
        }
        indent = max(INDENT, *(len(key) + 2 for key in lines))
        rest = " " * indent
        return "\n".join(
            textwrap.fill(f"{key:<{indent}}{text}", WIDTH, subsequent_indent=rest)
            for key, text in lines.items()
        )

    def recordings(self, folder: str = "") -> list[Path]:
        """Return the recordings of a folder; of the ten animals if it is empty."""
        files = find_recordings([folder or asset_path("animal-recordings")])
        return files[:SMOKE_RECORDINGS] if self.profile == "smoke" else files

    def run_folder(self, label: str, config: Settings) -> Path:
        """Return where a training run of `config` lives; the same one at each call."""
        name = f"{self.name}-{self.profile}-seed-{config.seed}-{label}"
        return cache.run_folder(name, config)

    def table(self, frame: pd.DataFrame, stem: str, note: str = "") -> Markdown:
        """Write tables/<stem>.csv and .md, and show the latter."""
        note = f"{note} Profile {self.profile}, seed {self.config.seed}.".strip()
        shown = show(frame, note)
        texts = {"csv": frame.to_csv(index=False), "md": shown.data}
        for suffix, text in texts.items():
            self.written.append(self.reports / "tables" / f"{stem}.{suffix}")
            write_text(self.written[-1], text)
        return shown

    def figure(self, figure: Figure, stem: str) -> Image:
        """Write figures/<stem>.png, and show it."""
        self.written.append(self.reports / "figures" / f"{stem}.png")
        save_figure(figure, self.written[-1])
        return picture(figure)

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
) -> Notebook:
    """Turn a notebook's parameters into its `Notebook`; seed torch; hush the libraries.

    reports_dir : where results go, in the repository; empty: reports/<profile>
    settings : profile -> the configuration that the notebook is about

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
    return Notebook(name, profile, config, settings("paper"), reports)


def play(recording: Path, listen: bool) -> Audio | None:
    """Return a player of a recording, or nothing: its bytes stay in the notebook."""
    return Audio(filename=str(recording)) if listen else None


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


def _described(values: dict[str, Any], reference: dict[str, Any]) -> dict[str, str]:
    """Return one line a section, each differing value beside the reference's."""
    sections = {key: value for key, value in values.items() if isinstance(value, dict)}
    plain = {key: value for key, value in values.items() if key not in sections}
    lines = {}
    for section, settings in {"general": plain, **sections}.items():
        texts, papers = [], reference.get(section, reference)
        for key, value in settings.items():
            remark = f" (paper: {_text(papers[key])})"
            same = papers[key] in (value, None)
            if value is not None:  # None leaves a choice to others
                texts.append(f"{key} {_text(value)}{'' if same else remark}")
        lines[section] = ", ".join(texts)
    return lines


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "+".join(map(str, value))
    if isinstance(value, dict):
        return "(" + ", ".join(f"{key} {_text(v)}" for key, v in value.items()) + ")"
    return repr(value) if " " in str(value) else str(value)
