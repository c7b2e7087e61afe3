"""Score the zero-shot systems on a reader's own copy of AudioCaps clips.

    python -m workflow.zero_shot --root DIR --split val

Every system is trained on AudioCaps' training captions alone, in the space of the tag
bridge, by the demo's recipe; none hears a training recording. All that share the
language model take as many steps, WSAC's own decoder those that the demo gives it.
Writes reports/real/zero_shot.{csv,md} and the run's record. A killed run goes on.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from drcap import paths
from drcap.baselines import BASELINES, ClipBatch, TrainSet
from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.captioner.train import train
from drcap.clap import load_clap
from drcap.config import ExperimentsConfig, experiments_profile, override, profile
from drcap.data.audiocaps import read_audiocaps
from drcap.data.captions import Clip
from drcap.devices import inference_dtype, resolve_device
from drcap.evaluation.metrics import score
from drcap.evaluation.tables import save_table, score_table
from drcap.files import write_json
from drcap.messages import hush
from drcap.projection import project
from drcap.retrieval.default import default_captions
from drcap.runs.provenance import run_record
from drcap.spaces import Space

SYSTEMS = (
    "common_caption",
    "nearest_caption",
    "zeraucap",
    "wsac",
    "wsac_shared",
    "soft_hard_prompts",
    "drcap_noise",
)


def recipe(steps: int, seed: int) -> ExperimentsConfig:
    """Return the demo's recipe in the tag bridge's space, for so many steps."""
    demo = profile("demo")
    training = demo.to_dict()["training"] | {"steps": steps}
    captioner = {**demo.to_dict(), "training": training, "seed": seed}
    baselines = experiments_profile("demo").to_dict()["baselines"]
    changes = {"captioner": captioner, "baselines": baselines, "steps_on_cl": steps}
    return override(ExperimentsConfig(), changes)


def main(
    root: Annotated[Path, typer.Option(help="folder with the split's CSV and clips")],
    split: Annotated[str, typer.Option(help="val or test")] = "val",
    steps: Annotated[int, typer.Option(help="of training, WSAC's own apart")] = 200,
    seed: Annotated[int, typer.Option(help="of every draw and weight")] = 0,
    reports: Annotated[Path, typer.Option(help="where reports go")] = paths.REPORTS,
) -> None:
    """Train what is not trained yet; caption, score and tabulate."""
    hush()
    started = time.time()
    clips = tuple(read_audiocaps(root, split).clips)
    captions = default_captions()
    space = Space(load_clap(), captions)
    config = recipe(steps, seed)
    runs = paths.runs() / f"zero-shot-{steps}-steps-seed-{seed}"
    said = captioned(space, captions, clips, config, runs)
    references = [list(clip.captions) for clip in clips]
    scores = {row: score(each, references) for row, each in said.items()}
    stem = reports / "real" / "zero_shot"
    save_table(score_table(scores), stem)
    record = run_record(
        started=started,
        seed=seed,
        config=config,
        inputs=sorted(runs.glob("*/best")),
        clips=len(clips),
    )
    write_json(stem.with_name("zero_shot_run.json"), record)


def captioned(
    space: Space,
    captions: Sequence[str],
    clips: Sequence[Clip],
    config: ExperimentsConfig,
    runs: Path,
) -> dict[str, list[str]]:
    """Fit every system to the captions in `runs`; return each row's candidates.

    captions : the training captions, which are memory, support and datastore as well
    """
    said = {}
    for name in SYSTEMS:
        system = BASELINES[name](space)
        system.fit(_text_only(captions), config, runs / name)
        said[system.row] = system.caption(ClipBatch(tuple(clips), captions))
    return said | {"DRCap": _drcap(space, captions, clips, config, runs / "drcap")}


def _text_only(captions: Sequence[str]) -> TrainSet:
    """Return captions as a training set of no recordings."""
    clip = Clip("captions", "audiocaps", "train", None, None, tuple(captions))
    return TrainSet((clip,))


def _drcap(space, captions, clips, config, folder) -> list[str]:
    """Train DRCap by the same recipe; return its captions."""
    own = config.captioner
    run = train(own, captions, space.datastore, folder)
    device = resolve_device()
    dtype = inference_dtype(device, own.generation.dtype)
    captioner = Captioner.load(run.best, space.clap.dim, own.captioner, dtype)
    support = space.text(captions)
    projected = project(space.audio(clips), support, space.clap.temperature)
    similar = [
        [match.caption for match in matches]
        for matches in space.similar(clips, own.retrieval.top_k)
    ]
    return generate(captioner.to(device), projected, similar, own.generation)


if __name__ == "__main__":
    typer.run(main)
