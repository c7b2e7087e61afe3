"""Score a captioner on a reader's own copy of AudioCaps clips.

    python -m workflow.evaluate_audiocaps --root DIR --split val

DRCap beside its inference-time ablations and an honest floor, the first retrieved
caption, all on the same clips. Writes reports/real/audiocaps_<split>.{csv,md} and the
run's record; with --name a second captioner's beside the shipped one's.
"""

import time
from pathlib import Path
from typing import Annotated

import typer

from drcap import paths
from drcap.data.audiocaps import read_audiocaps
from drcap.evaluation.metrics import score
from drcap.evaluation.predict import caption_clips
from drcap.evaluation.tables import save_table, score_table
from drcap.files import write_json
from drcap.pipeline import SHIPPED, DRCap
from drcap.runs.provenance import run_record

SWITCHES = {
    "DRCap": {},
    "DRCap w/o RAG": {"retrieval": False},
    "DRCap w/o PD": {"projection": False},
}
FLOOR = "first retrieved caption"


def main(
    root: Annotated[Path, typer.Option(help="folder with the split's CSV and clips")],
    split: Annotated[str, typer.Option(help="val or test")] = "val",
    model: Annotated[
        Path | None, typer.Option(help="a captioner's folder; default: the shipped one")
    ] = None,
    name: Annotated[str, typer.Option(help="added to the names of the files")] = "",
    reports: Annotated[Path, typer.Option(help="where reports go")] = paths.REPORTS,
) -> None:
    """Caption every clip with each system, score and tabulate."""
    started = time.time()
    found = read_audiocaps(root, split)
    captioner = DRCap.from_pretrained(model)
    scores = {}
    for system, settings in SWITCHES.items():
        predictions = caption_clips(captioner, found.clips, **settings)
        references = predictions.mult_references
        scores[system] = score(predictions.candidates, references)
        if system == "DRCap":
            nearest = [
                record["similar_captions"][0]["caption"]
                for record in predictions.captioned
            ]
            scores[FLOOR] = score(nearest, references)
    stem = reports / "real" / "_".join(filter(None, ["audiocaps", split, name]))
    save_table(score_table(scores), stem)
    record = run_record(
        started=started,
        seed=captioner.config.seed,
        config=captioner.config,
        inputs=[model or SHIPPED],
        clips=len(found.clips),
        missing_clips=len(found.missing),
    )
    write_json(stem.with_name(f"{stem.name}_run.json"), record)


if __name__ == "__main__":
    typer.run(main)
