"""The tables of real recordings, on a reader's own copy of AudioCaps' clips.

    python -m workflow ablations --root DIR --split val
    python -m workflow zero-shot --root DIR --split val

`ablations`: people, the shipped captioner, what is switched off at inference,
captioners trained anew without it, other fits of the bridge, a floor; beside it the
caption of each clip and the modality gap.
`zero-shot`: every zero-shot system trained on AudioCaps' training captions alone, in
the space of the caption bridge, by the demo's recipe. All that share the language model
take as many steps; WSAC's own decoder takes those that the demo gives it.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from drcap import paths
from drcap.atomic import write_json, write_text
from drcap.cache import run_folder
from drcap.config import ExperimentsConfig, experiments_profile, override, profile
from drcap.data.audiocaps import read_audiocaps
from drcap.environment import hush
from drcap.errors import ConfigError
from drcap.evaluation.metrics import HUMAN, Scores, score, scores_beside_people
from drcap.evaluation.tables import save_table, score_table
from drcap.modality_gap import gap_statistics
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
SHARE = "share of human CIDEr-D"
DEVELOPMENT = "settings were chosen on clips of AudioCaps' validation split"
FLOOR = "first retrieved caption"
CHOICES = ("DRCap", "DRCap, mbr")
TRAINED = "NAME=FOLDER: a captioner trained without a part, such as 'DRCap w/o SS'."
BRIDGE = "NAME=FILE: another fit of the caption bridge, by `drcap train bridge --seed`."
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
    trained: Annotated[list[str] | None, typer.Option(help=TRAINED)] = None,
    bridge: Annotated[list[str] | None, typer.Option(help=BRIDGE)] = None,
    name: Annotated[str, typer.Option(help="Added to the names of the files.")] = "",
    reports: Path = paths.REPORTS,
) -> None:
    """Write reports/real/audiocaps_<split>.{csv,md}, _clips.csv, _gap.csv, record."""
    from drcap.systems.drcap import SHIPPED, DRCap
    from drcap.systems.predictions import caption_dataset

    hush()
    started, listed = time.time(), read_audiocaps(root, split)
    captioner = DRCap.from_pretrained(model)
    anew, fits = named_paths(trained, "--trained"), named_paths(bridge, "--bridge")
    runs = {system: (captioner, settings) for system, settings in SWITCHES.items()}
    for system, folder in anew.items():
        runs[f"{system}, trained anew"] = DRCap.from_pretrained(folder), FIRST
    candidates, gaps = {}, {}
    for fit, file in fits.items():
        other = with_bridge(captioner, file)
        gaps[fit] = gap(other, listed.clips)
        for choice in CHOICES:
            runs[f"{choice}, {fit}"] = other, SWITCHES[choice]
    for system, (own, settings) in runs.items():
        predictions = caption_dataset(own, listed.clips, **settings)
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
        inputs=[model or SHIPPED, *anew.values(), *fits.values()],
        clap=captioner.clap.fingerprint,
        clips=len(predictions.clips),
        missing_clips=len(listed.missing),
        split=split,
        development=DEVELOPMENT,
    )
    stem = "_".join(filter(None, ["audiocaps", split, name]))
    _save(scores, reports / "real" / stem, record)
    clips = pd.DataFrame({"clip_id": [clip.clip_id for clip in predictions.clips]})
    for system, captions in candidates.items():
        clips[system] = captions
        clips[f"{system}: CIDEr-D"] = scores[system].per_clip["cider_d"]
    write_text(reports / "real" / f"{stem}_clips.csv", clips.to_csv(index=False))
    gaps = {"shipped": gap(captioner, predictions.clips)} | gaps
    frame = pd.DataFrame.from_dict(gaps, orient="index").rename_axis("bridge")
    write_text(reports / "real" / f"{stem}_gap.csv", frame.to_csv())


def named_paths(given: Sequence[str] | None, option: str) -> dict[str, Path]:
    """Read NAME=PATH; ConfigError unless each has a name and is there."""
    pairs = [text.partition("=")[::2] for text in given or ()]
    for name, path in pairs:
        if not (name and path and Path(path).exists()):
            raise ConfigError(
                f"{option} {name}={path}: expected NAME=PATH of what is here"
            )
    return {name: Path(path) for name, path in pairs}


def with_bridge(captioner, file: Path):
    """Return the captioner with another fit of the caption bridge to the same captions.

    ConfigError if the fit has another text space, so that nothing fits any more.
    """
    from drcap.clap.bridge import CaptionBridge
    from drcap.retrieval import CaptionDatastore
    from drcap.retrieval.default import default_datastore
    from drcap.systems.drcap import DRCap

    clap, own = CaptionBridge(file), default_datastore(captioner.clap)
    if not np.allclose(clap.text_mean, captioner.clap.text_mean, atol=1e-5):
        raise ConfigError(
            f"{file}: fitted to other captions than the captioner's space"
        )
    captions = CaptionDatastore(own.captions, own.embeddings, clap.fingerprint)
    both = {"datastore": captions, "support": captions}
    return DRCap(clap, captioner.captioner, captioner.config, **both)


def gap(captioner, clips) -> dict[str, float]:
    """Measure the modality gap of clips and their captions in the captioner's space."""
    audio = np.stack([captioner.embed(clip.path).numpy() for clip in clips])
    count = min(len(clip.captions) for clip in clips)
    text = [captioner.clap.encode_text(clip.captions[:count]).numpy() for clip in clips]
    return asdict(gap_statistics(audio, np.stack(text)))


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
