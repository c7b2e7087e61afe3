"""DRCap: zero-shot audio captioning, trained on captions alone (arXiv 2410.09472).

In reading order, the paper first:

- `data/`               clips and captions of the datasets; the overlap filter
- `clap/`               an audio and a text encoder that share one space; their training
- `modality_gap.py`     how far apart the two lie, and what brings them together
- `retrieval/`          datastore, top k, similarity selection; exact or approximate
- `projection.py`       projection-based decoding, eq. 4
- `captioner/`          prompt, linear mapper and language model; text-only training
- `systems/`            DRCap and the other systems of the tables, one file each
- `evaluation/`         metrics and bootstrap
- `experiments/`        the grid behind the tables: trained, captioned, scored, judged

then what they stand on:

- `config/`             every setting, typed; the defaults are the paper's
- `audio.py`            recordings: decoded, checked, cut into windows
- `assets/`             third-party weights and data, pinned
- `load.py`             a CLAP model by its name or its folder
- `joint_space.py`      embeddings and similar captions in a model's space, kept
- `authors/`            the formats of the authors' code
- `atomic.py`, `cache.py`   files that are whole or not there; results that are kept
- `record.py`, `checkpoint.py`   what made a result; what a killed training resumes from
- `processes.py`, `devices.py`, `environment.py`, `paths.py`, `errors.py`
- `plots/`, `notebook.py`   every figure; what the notebooks share
- `cli/`                the `drcap` command
- `doctor.py`, `estimate.py`   what this machine has; what a profile's jobs take

The procedural corpora are a package of their own, `soundscapes`.
"""

from importlib import import_module

__version__ = "0.2.0"

_EXPORTS = {
    "CLAP": "drcap.clap",
    "load_clap": "drcap.load",
    "CaptionDatastore": "drcap.retrieval",
    "select_similar": "drcap.retrieval.similarity_selection",
    "project": "drcap.projection",
    "Captioner": "drcap.captioner.model",
    "train": "drcap.captioner.train",
    "generate": "drcap.captioner.generate",
    "Config": "drcap.config",
    "DRCap": "drcap.systems.drcap",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    # imported on first use, so that `drcap --help` answers at once
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'drcap' has no attribute '{name}'")
