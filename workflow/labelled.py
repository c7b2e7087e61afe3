"""Recordings whose source is known: does the caption name it?

    apt-get download scratch tuxpaint-stamps-default asterisk-core-sounds-ru-wav
    for package in *.deb; do dpkg-deb -x $package DIR; done
    python -m workflow labelled --root DIR

labelled.csv pins the recordings of three Debian packages and says which words name the
source. They were listed by a rule, before any was captioned: all of Scratch's folders
Animal, Human and Effects and of Tux Paint's stamps that last half a second or more and
whose source AudioCaps' training captions name ten times or more. Nothing was tuned on
them. Music, speech in a foreign language, noise and silence stand in a table of their
own: what is said of what the captions hardly know.
"""

import json
import re
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from drcap import paths
from drcap.atomic import sha256, write_json, write_text
from drcap.clap.simulated_tags import stem
from drcap.environment import hush
from drcap.errors import ConfigError, DatasetError
from drcap.evaluation.bootstrap import interval
from drcap.record import run_record

LISTED = Path(__file__).with_name("labelled.csv")
ODD = ("music", "foreign speech")  # labels of the second table's recordings
CHOICES = {"DRCap": "first_beam", "DRCap, mbr": "mbr"}
SECONDS = 10  # of silence and noise
Root = Annotated[Path, typer.Option(help="Folder that the packages are opened in.")]
Earlier = Annotated[
    list[str] | None,
    typer.Option(help="NAME=FILE of `drcap caption --json`, of another version."),
]


def labelled(
    root: Root, earlier: Earlier = None, reports: Path = paths.REPORTS
) -> None:
    """Write reports/real/labelled.{csv,md}, odd_clips.{csv,md} and the run's record."""
    from drcap.systems.drcap import SHIPPED, DRCap

    hush()
    started, listed = time.time(), read_listed(root, LISTED)
    model = DRCap.from_pretrained()
    odd = listed.label.isin(ODD)
    made = {**dict(zip(listed.file, listed.path, strict=True)), **noises(model.clap.sr)}
    heard = pd.DataFrame(
        {
            name: [r.caption for r in model.caption([*made.values()], choice=choice)]
            for name, choice in CHOICES.items()
        },
        index=[*made],
    )
    for name, file in (text.partition("=")[::2] for text in earlier or ()):
        captions = read_captions(Path(file), root)
        heard.insert(0, name, [captions.get(place) for place in heard.index])
    table = listed[~odd].drop(columns=["path", "sha256"]).set_index("file")
    table = table.join(heard)
    for name in heard:
        table[f"{name}: named"] = [
            names(text, words)
            for text, words in zip(table[name], table.words, strict=True)
        ]
    kinds = dict(zip(listed.file, listed.label, strict=True))
    others = heard.loc[[*listed.file[odd], *noises(1)]].rename_axis("file")
    others.insert(0, "kind", [kinds.get(file, file) for file in others.index])
    folder = reports / "real"
    for name, frame in {"labelled": table, "odd_clips": others}.items():
        write_text(folder / f"{name}.csv", frame.to_csv())
    write_text(folder / "labelled.md", summary(table, [*heard]))
    write_text(folder / "odd_clips.md", others.to_markdown() + "\n")
    record = run_record(
        started=started,
        seed=model.config.seed,
        config=model.config,
        inputs=[SHIPPED, LISTED],
        clap=model.clap.fingerprint,
        clips=len(table),
    )
    write_json(folder / "labelled_run.json", record)


def read_listed(root: Path, listing: Path) -> pd.DataFrame:
    """Read a list with paths; DatasetError unless all recordings are as pinned."""
    listed = pd.read_csv(listing)
    listed["path"] = [root / file for file in listed.file]
    for path, pin in zip(listed.path, listed.sha256, strict=True):
        if not path.exists() or sha256(path) != pin:
            raise DatasetError(
                f"{path}: is not there or not as pinned; open the Debian packages in "
                f"{root}, as `python -m workflow labelled --help` says"
            )
    return listed


def read_captions(file: Path, root: Path) -> dict[str, str]:
    """Read JSON lines of `drcap caption`: path below `root` -> caption."""
    try:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        places = [Path(line["file"]).resolve() for line in lines]
        own = root.resolve()
        pairs = zip(places, lines, strict=True)
        return {str(p.relative_to(own)): line["caption"] for p, line in pairs}
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"--earlier {file}: no captions of {root} ({error})"
        ) from None


def names(caption: str, words: str) -> bool:
    """Say whether a caption has one of the words, whatever their endings."""
    heard = {stem(word) for word in re.findall("[a-z]+", caption.lower())}
    return not heard.isdisjoint(map(stem, words.split()))


def noises(sr: int) -> dict[str, np.ndarray]:
    """Return silence, white and pink noise: name -> (n,) float32 at `sr` Hz."""
    size = SECONDS * sr
    white = np.random.default_rng(0).standard_normal(size)
    spectrum = np.fft.rfft(white) / np.sqrt(np.arange(1, size // 2 + 2))
    rows = {"white noise": white, "pink noise": np.fft.irfft(spectrum, size)}
    loud = {name: 0.1 * row / row.std() for name, row in rows.items()}
    sounds = {"silence": np.zeros(size), **loud}
    return {name: row.astype(np.float32) for name, row in sounds.items()}


def summary(table: pd.DataFrame, systems: list[str]) -> str:
    """Render the share named by each system, in per cent, and the clips beneath."""
    rows = []
    for name in systems:
        named = table[f"{name}: named"].to_numpy(float)
        bounds = interval(named)
        share = (
            f"{100 * bounds.mean:.1f} [{100 * bounds.low:.1f}, {100 * bounds.high:.1f}]"
        )
        rows.append((name, share, f"{named.sum():.0f} of {len(named)}"))
    shares = pd.DataFrame(rows, columns=["system", "source named", "clips"])
    note = "In brackets: 95 % intervals over clips, by a bootstrap."
    clips = table.drop(columns=["words"]).reset_index()
    clips["file"] = clips.file.map(lambda file: "/".join(Path(file).parts[-2:]))
    for name in systems:  # a star where the source is named
        starred = np.where(clips.pop(f"{name}: named"), " *", "")
        clips[name] = clips[name] + starred
    texts = [frame.to_markdown(index=False) for frame in (shares, clips)]
    return "\n\n".join([texts[0], note, texts[1]]) + "\n"
