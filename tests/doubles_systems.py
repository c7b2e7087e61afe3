"""A toy space with frames and log-mels, toy clips, small settings of every system."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_experiments import RECIPE, clips_of

from drcap.config import ExperimentsConfig, override
from drcap.data.clip import captions_of
from drcap.joint_space import JointSpace
from drcap.systems import load_class
from drcap.systems.base import ClipBatch, System, TrainingSet
from drcap.systems.zeraucap import SoundEvents

EVENTS = ["Dog", "Cat", "Bird", "Rain", "Engine", "Speech", "Wind"]
SMALL = {
    "wsac": {"width": 16, "heads": 2, "layers": 1, "steps": 3, "batch_size": 4},
    "soft_hard_prompts": {"prefix": 3, "classes": 2},
    "zeraucap": {"candidates": 3, "max_new_tokens": 4},
    "prefix_aac": {"temporal": 3, "label_group": 4, "layers": 1, "heads": 2},
    "enclap": {
        **{"codebooks": 2, "bits": 2, "frames": 5, "layers": 1, "heads": 2},
    },
}


class FramesCLAP(ToyCLAP):
    """Frames are spectra of tenths of a window; log-mels of fiftieths."""

    window_seconds = 1.0

    def frames(self, waveforms):
        return self._over_time(waveforms, 4, 6)

    def log_mels(self, waveforms):
        return self._over_time(waveforms, 10, 8)

    def _over_time(self, waveforms, count, bands):
        size = round(self.sr * self.window_seconds)
        rows = []
        for wave in waveforms:
            whole = np.pad(wave[:size], (0, size - len(wave[:size])))
            parts = np.abs(np.fft.rfft(whole.reshape(count, -1), 2 * bands))[:, :bands]
            rows.append(np.log(parts + 1e-3))
        return torch.tensor(np.array(rows), dtype=torch.float32)


def toy_space(captions=TOY_CAPTIONS) -> JointSpace:
    """A space whose datastore holds `captions`."""
    return JointSpace(FramesCLAP("frames"), captions)


def toy_events(space: JointSpace) -> SoundEvents:
    """Seven sound events."""
    events = SoundEvents(space)
    events.names = EVENTS
    return events


def toy_system(name: str, space: JointSpace) -> System:
    """An unfitted system that knows seven sound events."""
    system = load_class(name).in_space(space)
    if hasattr(system, "events"):
        system.events = toy_events(space)
    return system


def toy_training_set(folder: Path) -> TrainingSet:
    """Twelve clips of two captions."""
    clips = tuple(clips_of(folder, "ac", "train", 12))
    validation = tuple(clips_of(folder, "ac", "val", 3))
    return TrainingSet(captions_of(clips), clips, validation)


def toy_config(language_model: str) -> ExperimentsConfig:
    """Three steps of everything."""
    recipe = override(ExperimentsConfig(), RECIPE)
    changes = {
        "captioner": {"captioner": {"language_model": language_model}},
        "baselines": SMALL,
    }
    return override(recipe, changes)


@contextmanager
def fitted_system(name: str, folder: Path, language_model: str, **settings):
    """A fitted system with other settings, what it was fitted by, three test clips."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DRCAP_HOME", str(folder))
        changes = {"baselines": {name: settings}} if settings else {}
        config = override(toy_config(language_model), changes)
        system, training_set = toy_system(name, toy_space()), toy_training_set(folder)
        system.fit(training_set, config, folder / "run")
        batch = ClipBatch(tuple(clips_of(folder, "ac", "test", 3)), [])
        yield system, training_set, batch, config
