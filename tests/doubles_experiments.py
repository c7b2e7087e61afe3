"""A grid's materials in miniature: toy clips and CLAP model, a tiny captioner."""

from pathlib import Path

import numpy as np
import soundfile
from doubles import TOY_CAPTIONS, ToyCLAP

from drcap.config import ExperimentsConfig, override
from drcap.data.clip import Clip
from drcap.experiments.materials import Materials
from drcap.joint_space import JointSpace

TRAINING = {"ac": TOY_CAPTIONS[:20], "cl": TOY_CAPTIONS[20:40]}
WEAK = TOY_CAPTIONS[40:]
RECIPE = {
    "captioner": {
        "captioner": {"lora_r": 2},
        "retrieval": {"sim_min": 0.3, "sim_max": 0.8},
        "training": {
            **{"steps": 3, "batch_size": 4, "warmup_steps": 1, "save_every": 2},
            **{"validate_every": 2, "validation_captions": 4, "dtype": "float32"},
            "peak_learning_rate": 0.01,
        },
        "generation": {"num_beams": 2, "max_new_tokens": 6},
    },
    "steps_on_cl": 2,
    "seen_epochs": 1,
}


class ToyMaterials(Materials):
    """Two domains of 20 training captions, 10 training, 3 validation, 4 test clips."""

    def __init__(self, folder: Path, language_model: str, clap=ToyCLAP):
        super().__init__("smoke")
        recipe = override(ExperimentsConfig(), RECIPE)
        model = {"captioner": {"language_model": language_model}}
        self.config = override(recipe, {"captioner": model})
        self.clap_class = clap
        self._clips = {
            (domain, subset): tuple(clips_of(folder, domain, subset, count))
            for domain in TRAINING
            for subset, count in (("train", 10), ("val", 3), ("test", 4))
        }

    def clips(self, domain, subset):
        return self._clips[domain, subset]

    def training_captions(self, domain):
        return TRAINING[domain]

    @property
    def captions(self):
        return [*WEAK, *TRAINING["ac"], *TRAINING["cl"]]

    def space(self, system):
        if system not in self._spaces:
            clap = self.clap_class(f"toy-{system}")
            self._spaces[system] = JointSpace(clap, self.captions)
        return self._spaces[system]


def clips_of(folder, domain, subset, count):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng([ord(letter) for letter in domain + subset])
    for number in range(count):
        path = folder / f"{domain}_{subset}_{number}.wav"
        soundfile.write(path, 0.1 * random.standard_normal(16_000), 16_000)
        references = tuple(random.choice(TOY_CAPTIONS, 2, replace=False))
        yield Clip(path.stem, f"toy-{domain}", subset, path, None, references)
