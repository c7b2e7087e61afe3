"""The tables of real recordings, on a reader's own copy of AudioCaps' clips.

    python -m workflow ablations --root DIR --split val
    python -m workflow zero-shot --root DIR --split val

`ablations`: the shipped captioner, what is switched off at inference, and a floor.
`zero-shot`: every zero-shot system trained on AudioCaps' training captions alone, in
the space of the caption bridge, by the demo's recipe. All that share the language model
take as many steps; WSAC's own decoder takes those that the demo gives it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from drcap import paths
from drcap.atomic import write_json
from drcap.cache import run_folder
from drcap.config import ExperimentsConfig, experiments_profile, override, profile
from drcap.data.audiocaps import read_audiocaps
from drcap.environment import hush
from drcap.evaluation.metrics import Scores, score
from drcap.evaluation.tables import save_table, score_table
from drcap.record import run_record
from drcap.systems import SYSTEMS, load_class
from drcap.systems.base import ClipBatch, TrainingSet

SWITCHES = {
    "DRCap": {},
    "DRCap w/o RAG": {"retrieval": False},
    "DRCap w/o PD": {"projection": False},
}
FLOOR = "first retrieved caption"
ZERO_SHOT = (  # in the order of the table
    *("common_caption", "nearest_caption", "zeraucap", "wsac", "wsac_shared"),
    *("soft_hard_prompts", "drcap_noise", "drcap"),
)
Root = Annotated[Path, typer.Option(help="Folder with the split's CSV and clips.")]
Split = Annotated[str, typer.Option(help="val or test")]


def ablations(
    root: Root,
    split: Split = "val",
    model: Annotated[Path | None, typer.Option(help="A captioner's folder.")] = None,
    name: Annotated[str, typer.Option(help="Added to the names of the files.")] = "",
    reports: Path = paths.REPORTS,
) -> None:
    """Write reports/real/audiocaps_<split>.{csv,md} and the run's record."""
    from drcap.systems.drcap import SHIPPED, DRCap
    from drcap.systems.predictions import caption_dataset

    hush()
    started, listed = time.time(), read_audiocaps(root, split)
    captioner = DRCap.from_pretrained(model)
    scores = {}
    for system, settings in SWITCHES.items():
        predictions = caption_dataset(captioner, listed.clips, **settings)
        references = predictions.mult_references
        scores[system] = score(predictions.candidates, references)
        if system == "DRCap":
            similar = [result.similar_captions for result in predictions.captioned]
            nearest = [matches[0].caption if matches else "" for matches in similar]
            scores[FLOOR] = score(nearest, references)
    record = run_record(
        started=started,
        seed=captioner.config.seed,
        config=captioner.config,
        inputs=[model or SHIPPED],
        clips=len(listed.clips),
        missing_clips=len(listed.missing),
    )
    stem = "_".join(filter(None, ["audiocaps", split, name]))
    _save(scores, reports / "real" / stem, record)


def zero_shot(
    root: Root,
    split: Split = "val",
    steps: Annotated[int, typer.Option(help="Of training, WSAC's own apart.")] = 200,
    seed: Annotated[int, typer.Option(help="Of every draw and weight.")] = 0,
    reports: Path = paths.REPORTS,
) -> None:
    """Write reports/real/zero_shot.{csv,md} and the run's record; resumes trainings."""
    from drcap.joint_space import JointSpace
    from drcap.load import load_clap
    from drcap.retrieval.default import default_captions

    hush()
    started, captions = time.time(), default_captions()
    clips = tuple(read_audiocaps(root, split).clips)
    space, config = JointSpace(load_clap(), captions), recipe(steps, seed)
    runs = run_folder("zero-shot", [config, space.datastore.fingerprint])
    candidates = captioned(space, ClipBatch(clips, captions), config, runs)
    references = [list(clip.captions) for clip in clips]
    scores = {row: score(texts, references) for row, texts in candidates.items()}
    inputs = sorted(runs.glob("*/best"))
    record = run_record(
        started=started, seed=seed, config=config, inputs=inputs, clips=len(clips)
    )
    _save(scores, reports / "real" / "zero_shot", record)


def recipe(steps: int, seed: int) -> ExperimentsConfig:
    """Return the demo's recipe in the caption bridge's space, for so many steps."""
    demo = profile("demo").to_dict()
    training = demo["training"] | {"steps": steps}
    captioner = demo | {"training": training, "seed": seed}
    baselines = experiments_profile("demo").to_dict()["baselines"]
    changes = {"captioner": captioner, "baselines": baselines, "steps_on_cl": steps}
    return override(ExperimentsConfig(), changes)


def captioned(
    space, batch: ClipBatch, config: ExperimentsConfig, runs: Path
) -> dict[str, Sequence[str]]:
    """Fit every system to the batch's captions in `runs`; return each row's candidates.

    The captions are memory, support and datastore as well.
    """
    candidates = {}
    for name in ZERO_SHOT:
        system = load_class(name).in_space(space)
        system.fit(TrainingSet(batch.captions), config, runs / name)
        results = system.caption_clips(batch)
        candidates[SYSTEMS[name].row] = [result.caption for result in results]
    return candidates


def _save(scores: dict[str, Scores], stem: Path, record: dict) -> None:
    save_table(score_table(scores), stem)
    write_json(stem.with_name(f"{stem.name}_run.json"), record)
