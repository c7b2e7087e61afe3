"""Captions of a data set's clips, with their references, one record a clip.

A clip that cannot be read is listed with its error; the others are captioned all the
same.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from drcap.data.captions import Clip
from drcap.files import write_text
from drcap.processes import Processes

if TYPE_CHECKING:
    from drcap.pipeline import Captioned, DRCap


@dataclass(frozen=True)
class Predictions:
    """What a captioner made of some clips, in the order of the clips.

    captioned : records with `clip_id`, `file`, `candidate`, `mult_references`,
        `similar_captions` (a list of `caption` and `similarity`), `seconds`, and
        `warning` where there is one
    failed : records with `clip_id`, `file` and `error`
    """

    captioned: list[dict] = field(default_factory=list)
    failed: list[dict] = field(default_factory=list)

    @property
    def candidates(self) -> list[str]:
        """The generated captions, as `drcap.evaluation.metrics.score` takes them."""
        return [record["candidate"] for record in self.captioned]

    @property
    def mult_references(self) -> list[list[str]]:
        """Their references, in the same order."""
        return [record["mult_references"] for record in self.captioned]


def caption_clips(
    model: "DRCap",
    clips: Sequence[Clip],
    processes: Processes | None = None,
    **settings: Any,
) -> Predictions:
    """Caption every clip that can be read; settings as in `DRCap.caption_stream`.

    processes : all with the same arguments, share the groups of clips, which are those
        of one process, and get all predictions
    """
    processes = processes or Processes("cpu")  # of its own device the model knows
    results = _shared(model, [clip.path for clip in clips], processes, settings)
    predictions = Predictions()
    for clip, result in zip(clips, results, strict=True):
        if result.error is None:
            predictions.captioned.append(_record(clip, result))
        else:
            predictions.failed.append(_failure(clip, result.error))
    return predictions


def write_predictions(path: Path | str, predictions: Predictions) -> None:
    """Write the captioned clips as JSON, one object a line, whole or not at all."""
    lines = [json.dumps(record, ensure_ascii=False) for record in predictions.captioned]
    write_text(Path(path), "".join(line + "\n" for line in lines))


def _shared(
    model: "DRCap", recordings: list[Path], processes: Processes, settings: dict
) -> "list[Captioned]":
    """Return the results of all processes, in the order of the recordings."""
    with processes.main_first():  # what the first one makes, the others find made
        list(model.caption_stream([], **settings))
    starts = range(0, len(recordings), model.group_size)
    starts = starts[processes.index :: processes.count]
    groups = [recordings[start : start + model.group_size] for start in starts]
    count = sum(map(len, groups))
    done: list[tuple[int, Captioned]] = []
    with tqdm(
        total=count, desc="captioning", unit="clip", disable=not processes.main
    ) as bar:
        for start, group in zip(starts, groups, strict=True):
            for place, result in enumerate(model.caption_stream(group, **settings)):
                done.append((start + place, result))
                bar.update()
    return [result for _, result in sorted(processes.gather(done), key=itemgetter(0))]


def _record(clip: Clip, result: "Captioned") -> dict:
    record = {
        "clip_id": clip.clip_id,
        "file": str(clip.path),
        "candidate": result.caption,
        "mult_references": list(clip.captions),
        "similar_captions": [asdict(match) for match in result.similar_captions],
        "seconds": result.seconds,
    }
    return record | ({"warning": result.warning} if result.warning else {})


def _failure(clip: Clip, error: str) -> dict:
    return {"clip_id": clip.clip_id, "file": str(clip.path), "error": error}
