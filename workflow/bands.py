"""Which band of similarity selection the demo uses: a study on validation clips.

python -m workflow bands --band 0.75,0.85 --band 0.55,0.78 --seed 0 --penalty 1.5

A captioner is trained for each band and seed, as the grid trains DRCap on `ac`. Its
conditions are those of drcap.experiments.listening. What is there is not made again:
bands, seeds and conditions can be added to the table.
"""

from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from drcap import cache, paths
from drcap.atomic import write_text
from drcap.cli.options import Profile
from drcap.config import override
from drcap.errors import ConfigError

STEM, METRICS = "band_study", ("cider_d", "meteor")
NOTE = (
    "DRCap on the {clips} validation clips of {corpus}: CIDEr-D and METEOR in per "
    "cent, words a caption; a captioner a band and seed. In range: of the datastore's "
    "captions, for one training caption; the next two are shares of these."
)


def bands(
    band: Annotated[list[str], typer.Option(help="S_min,S_max, as 0.75,0.85.")],
    seed: Annotated[list[int], typer.Option(help="Of the training.")],
    condition: Annotated[list[str] | None, typer.Option(help="Default: all.")] = None,
    penalty: Annotated[list[float] | None, typer.Option(help="Of length, too.")] = None,
    profile: Profile = "demo",
    reports: Path = paths.REPORTS,
) -> None:
    """Compare bands of similarity selection on validation clips."""
    from drcap.experiments.listening import CONDITIONS
    from drcap.experiments.materials import Materials

    materials, tables = Materials(profile), reports / profile / "tables"
    ranges = [_range(text) for text in band]
    for sim_range, number in product(ranges, seed):
        asked = condition or list(CONDITIONS), penalty or ()
        frame = pd.DataFrame(_scores(materials, sim_range, number, *asked))
        if (path := tables / f"{STEM}.csv").exists():
            frame = pd.concat([pd.read_csv(path), frame])
            frame = frame.drop_duplicates(["band", "seed", "condition"], keep="last")
        write_text(path, frame.to_csv(index=False))
        write_text(tables / f"{STEM}.md", to_markdown(frame, materials))


def _range(text: str) -> list[float]:
    try:
        sim_min, sim_max = map(float, text.split(","))
    except ValueError:
        raise ConfigError(f"--band {text}: give S_min,S_max, as 0.75,0.85") from None
    return [sim_min, sim_max]


def _scores(materials, sim_range, seed, conditions, penalties) -> list[dict]:
    """Return a line a condition: band, captions in range, seed, score and words."""
    from drcap.evaluation.metrics import score_systems
    from drcap.experiments.grid import Experiment
    from drcap.experiments.listening import listen
    from drcap.experiments.run import clip_batch, load_system
    from drcap.retrieval.similarity_selection import counts_in_range

    recipe = materials.config
    limits = {"retrieval": dict(zip(("sim_min", "sim_max"), sim_range, strict=True))}
    materials.config = override(recipe, {"captioner": limits})
    try:
        experiment = Experiment(seed=seed)
        model = load_system(experiment, materials)
        batch = clip_batch(experiment, materials, "val")
    finally:
        materials.config = recipe
    space, texts = model.space, {}
    penalties = {f"length penalty {value}": value for value in penalties}
    for name in [*conditions, *penalties]:
        changed, one = model, name
        if name in penalties:
            change = {"generation": {"length_penalty": penalties[name]}}
            changed, one = model.adjusted(override(model.config, change)), "as it is"

        def captions(changed=changed, one=one) -> list[str]:
            return listen(changed, batch, conditions=[one])[one].tolist()

        key = [changed.config, str(model.run.folder), one]
        texts[name] = cache.keep("listening", key, captions)
    references = [list(clip.captions) for clip in batch.clips]
    pairs = {name: (captions, references) for name, captions in texts.items()}
    scores = score_systems(pairs, METRICS)
    queries = space.text(batch.captions)  # its own caption is not in a prompt
    inside = counts_in_range(queries, space.datastore.embeddings, *sim_range)
    inside -= sim_range[1] >= 1
    return [
        {
            "band": "[{:.2f}, {:.2f}]".format(*sim_range),
            "in range, median": float(np.median(inside)),
            "none": float((inside == 0).mean()),
            "fewer than 3": float((inside < 3).mean()),
            "seed": seed,
            "condition": name,
            **{metric: 100 * scores[name].corpus[metric] for metric in METRICS},
            "words": float(np.mean([len(text.split()) for text in texts[name]])),
        }
        for name in texts
    ]


def to_markdown(frame: pd.DataFrame, materials) -> str:
    """Render the means over the seeds: a row a band and condition."""
    rows = ["band", "in range, median", "none", "fewer than 3", "condition"]
    groups = frame.groupby(rows, sort=False)
    table = groups[[*METRICS, "words"]].mean().round(1)
    table.insert(0, "seeds", groups["seed"].nunique())
    clips, corpus = len(materials.clips("ac", "val")), materials.names["ac"]
    note = NOTE.format(clips=clips, corpus=corpus)
    return table.reset_index().round(3).to_markdown(index=False) + f"\n\n{note}\n"
