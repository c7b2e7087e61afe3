"""The tables of real recordings, on a reader's own copy of AudioCaps' clips.

    python -m workflow ablations --root DIR --split val
    python -m workflow zero-shot --root DIR --split val

`ablations`: people, the shipped captioner, what is switched off at inference, a floor.
`zero-shot`: every zero-shot system trained on AudioCaps' training captions alone, in
the space of the caption bridge, by the demo's recipe. All that share the language model
take as many steps; WSAC's own decoder takes those that the demo gives it.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from drcap import paths
from drcap.atomic import write_json
from drcap.cache import run_folder
from drcap.config import ExperimentsConfig, experiments_profile, override, profile
from drcap.data.audiocaps import read_audiocaps
from drcap.environment import hush
from drcap.evaluation.metrics import Scores, score, score_systems
from drcap.evaluation.tables import save_table, score_table
from drcap.record import run_record
from drcap.systems import SYSTEMS, load_class
from drcap.systems.base import ClipBatch, TrainingSet

FIRST = {"choice": "first_beam"}  # as in the paper
SWITCHES = {
    "DRCap": FIRST,
    "DRCap, mbr": {"choice": "mbr"},
    "DRCap w/o RAG": FIRST | {"retrieval": False},
    "DRCap w/o PD": FIRST | {"projection": False},
    "DRCap w/o RAG and PD": FIRST | {"retrieval": False, "projection": False},
}
HUMAN = "human captions, leave-one-out"
SHARE = "share of human CIDEr-D"
DEVELOPMENT = "settings were chosen on clips of AudioCaps' validation split"
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
    candidates = {}
    for system, settings in SWITCHES.items():
        predictions = caption_dataset(captioner, listed.clips, **settings)
        candidates[system] = predictions.candidates
        if system == "DRCap":
            similar = [result.similar_captions for result in predictions.captioned]
            nearest = [matches[0].caption if matches else "" for matches in similar]
    candidates[FLOOR] = nearest
    scores = scores_beside_people(candidates, predictions.mult_references)
    record = run_record(
        started=started,
        seed=captioner.config.seed,
        config=captioner.config,
        inputs=[model or SHIPPED],
        clap=captioner.clap.fingerprint,
        clips=len(predictions.clips),
        missing_clips=len(listed.missing),
        split=split,
        development=DEVELOPMENT,
    )
    stem = "_".join(filter(None, ["audiocaps", split, name]))
    _save(scores, reports / "real" / stem, record)


def scores_beside_people(
    candidates: dict[str, list[str]], mult_references: list[list[str]]
) -> dict[str, Scores]:
    """Score systems, and first people: each caption of a clip against its others.

    HUMAN is the mean of as many scorings as every clip has captions: the k-th captions
    are the candidates, the others their references. Systems have all as references.
    """
    turns = {}
    for k in range(min(map(len, mult_references))):
        others = [texts[:k] + texts[k + 1 :] for texts in mult_references]
        turns[f"{HUMAN}, {k}"] = [texts[k] for texts in mult_references], others
    systems = {name: (texts, mult_references) for name, texts in candidates.items()}
    scores = score_systems(turns | systems)
    people = [scores.pop(name) for name in turns]
    return {HUMAN: mean_scores(people)} | scores


def mean_scores(turns: Sequence[Scores]) -> Scores:
    """Return the mean of several scorings of the same clips, metric by metric."""
    corpus, per_clip = dict(turns[0].corpus), {}
    for metric in turns[0].per_clip:
        corpus[metric] = float(np.mean([scores.corpus[metric] for scores in turns]))
        clips = [scores.per_clip[metric] for scores in turns]
        per_clip[metric] = np.mean(clips, axis=0).tolist()
    return Scores(turns[0].clips, corpus, per_clip, turns[0].unavailable)


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
    table = score_table(scores)
    if HUMAN in scores:
        share = table.cider_d / table.cider_d[HUMAN]
        table.insert(len(table.columns) - 1, SHARE, share)
    save_table(table, stem)
    write_json(stem.with_name(f"{stem.name}_run.json"), record)
