"""The corpora scapes-ac, scapes-cl and scapes-weak on disk, built once.

In: a SoundscapesConfig. Out: a folder with one folder a corpus, recordings as 16-bit
FLAC and metadata in the layouts of AudioCaps, Clotho and WavCaps (layouts.py). Every
file appears whole, the recordings before the metadata; a build that was cut short goes
on with the recordings that are missing.
"""

import json
import multiprocessing
import os
import platform
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import scipy
import soundfile
from filelock import FileLock
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from soundscapes import SoundscapesConfig, dsp, layouts
from soundscapes.addresses import SUBSETS, Address, sizes
from soundscapes.clips import SoundscapeClip, clip_of

VERSION = 1  # raised whenever a sound, a scene or a caption comes out differently
RECORD = "corpora.json"  # written last
CHUNK = 8  # clips that a process takes at a time


class CorporaError(Exception):
    """A folder holds corpora of other settings."""


def build(
    config: SoundscapesConfig, folder: Path, *, processes: int | None = None
) -> Path:
    """Write the three corpora to `folder`, unless they are there, and return it.

    processes : None: one for each core. The files do not depend on it.
    Raises CorporaError if `folder` holds corpora of other settings.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        _claim(folder, config)
        if not (folder / RECORD).exists():
            started = time.time()
            clips = _write_recordings(folder, config, processes)
            _write_metadata(folder, clips, config)
            layouts.write_json(folder / RECORD, _record(config, started))
    return folder


def _claim(folder: Path, config: SoundscapesConfig) -> None:
    """Note whose folder this is; refuse one of another configuration or version."""
    owner = json.loads(json.dumps({"version": VERSION} | asdict(config)))
    path = folder / "config.json"
    if not path.exists():
        layouts.write_json(path, owner)
    elif json.loads(path.read_text(encoding="utf-8")) != owner:
        raise CorporaError(
            f"{folder}: holds corpora of other settings or of another version (see its "
            "config.json); give another folder, or delete this one"
        )


def _record(config: SoundscapesConfig, started: float) -> dict:
    return {
        "version": VERSION,
        "config": asdict(config),
        "seconds": round(time.time() - started, 1),
        "python": platform.python_version(),
        "packages": {module.__name__: module.__version__ for module in (np, scipy)},
    }


def _write_recordings(
    folder: Path, config: SoundscapesConfig, processes: int | None
) -> list[SoundscapeClip]:
    """Write each recording that is not there yet; return all clips in their order."""
    for aside in folder.rglob(f"{layouts.ASIDE}*"):
        shutil.rmtree(aside)
    addresses = [
        Address(*subset, index)
        for subset, count in sizes(config).items()
        for index in range(count)
    ]
    write = partial(_write_recording, folder, config)
    bar = partial(
        tqdm,
        total=len(addresses),
        desc="building the soundscapes",
        unit="clip",
        delay=2,
    )
    processes = processes or os.cpu_count()
    if processes == 1:
        with threadpool_limits(1):
            return list(bar(map(write, addresses)))
    with ProcessPoolExecutor(
        processes,
        mp_context=multiprocessing.get_context("spawn"),  # torch's threads do not fork
        initializer=threadpool_limits,
        initargs=(1,),
    ) as pool:
        return list(bar(pool.map(write, addresses, chunksize=CHUNK)))


def _write_recording(
    folder: Path, config: SoundscapesConfig, address: Address
) -> SoundscapeClip:
    """Write a clip's recording unless it is there, and return the clip."""
    clip = clip_of(address, config)
    path = folder / f"scapes-{address.corpus}" / clip.file
    if not path.exists():  # if it exists it is whole
        with layouts.whole(path) as aside:
            # the lowest effort: a tenth larger, and twice as fast
            soundfile.write(aside, clip.samples(), dsp.SR, compression_level=0)
    return clip


def _write_metadata(
    folder: Path, clips: Sequence[SoundscapeClip], config: SoundscapesConfig
) -> None:
    for corpus, subsets in SUBSETS.items():
        target = folder / f"scapes-{corpus}"
        ours = [clip for clip in clips if clip.address.corpus == corpus]
        layouts.write_truth(target, ours, config)
        for subset in subsets:
            within = [clip for clip in ours if clip.address.subset == subset]
            layouts.WRITERS[corpus](target, subset, within)
