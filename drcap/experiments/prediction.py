"""The clips of a domain, captioned by an experiment's captioner (sec. II, eq. 3, 4).

Everything but the language model's own work is taken from `Materials`: embeddings,
similar captions and supports are those of every other experiment.
"""

from collections.abc import Sequence
from dataclasses import asdict

import torch

from drcap.baselines import Baseline
from drcap.captioner.generate import generate
from drcap.captioner.model import Captioner
from drcap.config import Config
from drcap.data.captions import Clip
from drcap.devices import inference_dtype, resolve_device
from drcap.experiments.grid import BASELINES, Experiment
from drcap.experiments.materials import Materials
from drcap.experiments.systems import caption_by, fitted
from drcap.experiments.training import configuration, trained
from drcap.projection import project
from drcap.retrieval.matches import Match


def load_captioner(
    experiment: Experiment, materials: Materials
) -> Captioner | Baseline:
    """Return the experiment's captioner, trained now unless it has been."""
    if experiment.system in BASELINES:
        return fitted(experiment, materials)
    run = trained(experiment, materials)
    config = configuration(experiment, materials)
    device = resolve_device()
    dim = materials.space(experiment.clap).clap.dim
    dtype = inference_dtype(device, config.generation.dtype)
    return Captioner.load(run.best, dim, config.captioner, dtype).to(device)


def support_captions(experiment: Experiment, materials: Materials) -> list[str]:
    """Return S as captions (sec. II-C): of the domain captioned, else of the source."""
    target = experiment.changes.target_text
    return materials.training_captions(experiment.test if target else experiment.train)


def similar_captions(
    experiment: Experiment, materials: Materials, clips: Sequence[Clip]
) -> list[list[Match]]:
    """Return each clip's similar captions, more than a prompt holds, nearest first."""
    withheld: list[str] = []
    if not experiment.changes.target_text:
        withheld = materials.training_captions(experiment.test)
    space = materials.space(experiment.clap)
    return space.similar(clips, materials.config.retrieved, exclude=withheld)


def decode(
    captioner: Captioner,
    audio: torch.Tensor,
    support: torch.Tensor,
    similar: Sequence[Sequence[Match]],
    config: Config,
    temperature: float,
) -> list[str]:
    """Caption B audio embeddings (B, D) as `config` says.

    support : (N, D), unit rows        similar : B lists, of which top_k enter a prompt
    temperature : of the projection, where the configuration leaves it open
    """
    embeddings = audio
    if config.projection.enabled:
        embeddings = project(
            audio,
            support,
            config.projection.temperature or temperature,
            renormalise=config.projection.renormalise,
        )
    top_k = config.retrieval.top_k if config.retrieval.enabled else 0
    texts = [[match.caption for match in matches[:top_k]] for matches in similar]
    return generate(captioner, embeddings, texts, config.generation)


def predict(
    experiment: Experiment,
    materials: Materials,
    captioner: Captioner | Baseline | None = None,
    subset: str = "test",
) -> list[dict]:
    """Caption the clips of a subset; a record a clip, in order.

    captioner : the experiment's own, where it has been loaded
    returns : `clip_id`, `candidate` and `similar_captions`, those in DRCap's prompt
    """
    captioner = captioner or load_captioner(experiment, materials)
    if isinstance(captioner, Baseline):
        return caption_by(captioner, experiment, materials, subset)
    config = configuration(experiment, materials)
    clips = materials.clips(experiment.test, subset)
    space = materials.space(experiment.clap)
    similar = similar_captions(experiment, materials, clips)
    candidates = decode(
        captioner,
        space.audio(clips),
        torch.from_numpy(space.text(support_captions(experiment, materials))),
        similar,
        config,
        space.clap.temperature,
    )
    top_k = config.retrieval.top_k if config.retrieval.enabled else 0
    return [
        {
            "clip_id": clip.clip_id,
            "candidate": candidate,
            "similar_captions": [asdict(match) for match in matches[:top_k]],
        }
        for clip, candidate, matches in zip(clips, candidates, similar, strict=True)
    ]
