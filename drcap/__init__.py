"""DRCap: zero-shot audio captioning, trained on captions alone (arXiv 2410.09472).

In reading order, the paper first:

- `data/`               datasets, procedural soundscapes, the overlap filter
- `clap/`               an audio and a text encoder that share one space; their training
- `modality_gap.py`     how far apart the two lie, and what brings them together
- `retrieval/`          datastore, top k, similarity selection; exact or approximate
- `projection.py`       projection-based decoding, eq. 4
- `captioner/`          prompt, linear mapper and language model; text-only training
- `pipeline.py`         all of it on recordings: `DRCap.from_pretrained()`
- `baselines/`          the other systems of the tables, one file each
- `evaluation/`         metrics, predictions, bootstrap
- `experiments/`        the grid behind the tables: trained, captioned, scored, judged

then what they stand on:

- `config/`             every setting, typed; the defaults are the paper's
- `audio/`, `assets/`   recordings; pinned third-party weights and data
- `files/`, `runs/`     files that are whole or not there; the record of a run
- `processes/`          a job shared by several processes
- `spaces.py`           what the grid embeds and retrieves in one CLAP model's space
- `plots/`, `notebook.py`   every figure; what the notebooks share
- `estimate/`, `doctor.py`  what a profile's jobs take; what this machine has
- `cli/`                the `drcap` command
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "CLAP": "drcap.clap",
    "load_clap": "drcap.clap",
    "CaptionDatastore": "drcap.retrieval",
    "select_similar": "drcap.retrieval.similarity_selection",
    "project": "drcap.projection",
    "Captioner": "drcap.captioner.model",
    "train": "drcap.captioner.train",
    "generate": "drcap.captioner.generate",
    "Config": "drcap.config",
    "DRCap": "drcap.pipeline",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    # imported on first use, so that `drcap --help` answers at once
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'drcap' has no attribute '{name}'")
