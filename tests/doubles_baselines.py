"""A toy space with frames and log-mels, toy clips, small settings of every system."""

from pathlib import Path

import numpy as np
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from doubles_experiments import RECIPE, clips_of

from drcap.baselines import TrainSet
from drcap.baselines.sound_events import SoundEvents
from drcap.config import ExperimentsConfig, override
from drcap.spaces import Space

EVENTS = ["Dog", "Cat", "Bird", "Rain", "Engine", "Speech", "Wind"]
BASELINES = {
    "wsac": {"width": 16, "heads": 2, "layers": 1, "steps": 3, "batch_size": 4},
    "soft_hard_prompts": {"prefix": 3, "classes": 2},
    "zeraucap": {"candidates": 3, "max_new_tokens": 4},
    "prefix_aac": {"temporal": 3, "label_group": 4, "layers": 1, "heads": 2},
    "enclap": {
        **{"codec": "", "codebooks": 2, "bits": 2, "frames": 5},
        **{"layers": 1, "heads": 2},
    },
}


class HearingCLAP(ToyCLAP):
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


def toy_space(captions=TOY_CAPTIONS) -> Space:
    """A space whose datastore holds `captions`."""
    return Space(HearingCLAP("hearing"), captions, progress=False)


def toy_events(space: Space) -> SoundEvents:
    """Seven sound events."""
    return SoundEvents(space, EVENTS)


def toy_train_set(folder: Path) -> TrainSet:
    """Twelve clips of two captions."""
    return TrainSet(tuple(clips_of(folder, "ac", "train", 12)))


def toy_config(language_model: str) -> ExperimentsConfig:
    """Three steps of everything."""
    recipe = override(ExperimentsConfig(), RECIPE)
    changes = {
        "captioner": {"captioner": {"language_model": language_model}},
        "baselines": BASELINES,
    }
    return override(recipe, changes)
