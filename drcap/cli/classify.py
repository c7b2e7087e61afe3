"""`drcap classify`: the likeliest labels of recordings, by any CLAP model."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap.cli import options
from drcap.cli.options import argument, option
from drcap.errors import AudioError, ConfigError

if TYPE_CHECKING:
    from drcap.clap.classify import Classified

Esc50 = option(Path | None, "Folder in ESC-50's layout: print the accuracy.", "--esc50")


def classify(
    paths: argument(list[Path] | None, "PATH", "Recordings or folders.") = None,
    labels: option(Path | None, "File of labels, one a line.") = None,
    esc50: Esc50 = None,
    clap: option(str, "The CLAP model.") = "caption-bridge",
    template: option(str, 'A sentence; "{}" stands for a label.') = "The sound of {}",
    top: option(int, "How many labels are printed.", min=1) = 3,
    as_json: options.AsJson = False,
    device: options.Device = "auto",
) -> None:
    """Print the likeliest labels of each recording with their probabilities.

    With --json one object a line: file, labels and warning if there is one; or
    file and error. With --esc50 DIR only the accuracy over meta/esc50.csv. A file
    that cannot be read is reported on stderr, the rest is classified, and the
    exit code is 2.
    """
    from drcap.audio import find_recordings
    from drcap.clap.classify import classify, read_esc50
    from drcap.data.clip import read_captions
    from drcap.load import load_clap

    if bool(esc50) == bool(paths and labels):
        raise ConfigError("give recordings and --labels FILE, or --esc50 DIR alone")
    if esc50:
        recordings, categories = read_esc50(esc50)
        known = sorted(set(categories))
    else:
        recordings = find_recordings(paths)
        known = list(dict.fromkeys(read_captions(labels)))
    results = classify(recordings, known, load_clap(clap, device, "fastest"), template)

    def line(result: "Classified") -> str | None:
        if esc50 or (result.error and not as_json):
            return None
        best = dict(result.labels[:top])
        if as_json:
            return options.json_line(result, labels=best)
        cells = (f"{name} {share:.3f}" for name, share in best.items())
        return "\t".join((result.file, *cells))

    done = options.print_all(results, len(recordings), "classifying", line)
    if esc50:
        _print_accuracy(done, categories, as_json)
    if any(result.error for result in done):
        raise typer.Exit(2)


def _print_accuracy(done: list["Classified"], categories: list[str], as_json: bool):
    right = [
        bool(result.labels) and result.labels[0][0] == category
        for result, category in zip(done, categories, strict=True)
        if not result.error
    ]
    if not right:
        raise AudioError(f"none of the {len(done)} clips can be read")
    accuracy, failed = sum(right) / len(right), len(done) - len(right)
    summary = {"accuracy": accuracy, "clips": len(right), "failed_clips": failed}
    text = f"accuracy {accuracy:.3f} over {len(right)} clips, {failed} failed"
    print(json.dumps(summary) if as_json else text)
