"""The captions of a data set: made by one process or several, kept as JSON lines.

predictions.jsonl holds a record a clip: `clip_id`, `candidate` (the caption) and
`similar_captions`, those in the prompt with their similarities.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drcap.atomic import write_text
from drcap.data.clip import Clip
from drcap.processes import Processes
from drcap.systems.base import Captioned
from drcap.systems.drcap import DRCap


@dataclass(frozen=True)
class Predictions:
    """What a captioner made of some clips, in their order."""

    clips: list[Clip] = field(default_factory=list)  # those that were captioned
    captioned: list[Captioned] = field(default_factory=list)  # a result a clip
    failed: list[Captioned] = field(default_factory=list)  # with `file` and `error`

    @property
    def candidates(self) -> list[str]:
        """The captions, as `drcap.evaluation.metrics.score` takes them."""
        return [result.caption for result in self.captioned]

    @property
    def mult_references(self) -> list[list[str]]:
        """Their references."""
        return [list(clip.captions) for clip in self.clips]


def caption_dataset(
    model: DRCap,
    clips: Sequence[Clip],
    processes: Processes | None = None,
    **options: Any,
) -> Predictions:
    """Caption every clip that can be read; options as in `DRCap.caption_stream`.

    processes : all with the same arguments, share the groups of clips, which are those
        of one process, and get all predictions
    """
    processes = processes or Processes("cpu")  # the model knows its own device
    with processes.main_first():  # makes the default datastore, which the others read
        list(model.caption_stream([], **options))
    starts = range(0, len(clips), model.group_size)[processes.index :: processes.count]
    groups = {start: clips[start : start + model.group_size] for start in starts}
    total = sum(map(len, groups.values()))
    results: list[tuple[int, Captioned]] = []
    shown = {"desc": "captioning", "unit": "clip", "disable": not processes.main}
    with tqdm(total=total, **shown) as bar:
        for start, group in groups.items():
            stream = model.caption_stream([clip.path for clip in group], **options)
            for place, result in enumerate(stream, start):
                results.append((place, result))
                bar.update()
    predictions = Predictions()
    for place, result in sorted(processes.gather(results), key=itemgetter(0)):
        if result.error is None:
            predictions.clips.append(clips[place])
            predictions.captioned.append(result)
        else:
            predictions.failed.append(result)
    return predictions


def records(clips: Iterable[Clip], captioned: Iterable[Captioned]) -> list[dict]:
    """Return a record a clip, JSON-ready."""
    return [
        {
            "clip_id": clip.clip_id,
            "candidate": result.caption,
            "similar_captions": [asdict(match) for match in result.similar_captions],
        }
        for clip, result in zip(clips, captioned, strict=True)
    ]


def write_predictions(
    path: Path | str, clips: Iterable[Clip], captioned: Iterable[Captioned]
) -> None:
    """Write the captions of clips, whole or not at all."""
    lines = [json.dumps(each, ensure_ascii=False) for each in records(clips, captioned)]
    write_text(Path(path), "".join(f"{line}\n" for line in lines))
