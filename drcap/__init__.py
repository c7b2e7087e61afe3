"""DRCap: zero-shot audio captioning, trained on captions alone (arXiv 2410.09472).

In reading order:

- `data/`       datasets, procedural soundscapes in their layouts, the overlap filter
- `clap/`       an audio and a text encoder that share one space, and their training
- `modality_gap.py`   how far apart the two are, and what brings them together
- `retrieval.py`, `similarity_selection.py`, `similarity_range.py`   similar captions,
  at inference and in training, and what a similarity range means
- `nearest.py`, `recall.py`, `datastore_build.py`   exact and approximate search, and
  datastores of half a million captions
- `projection.py`   projection-based decoding, eq. 4
- `captioner/`  prompt, linear mapper and language model, text-only training, beams
- `pipeline.py` all of it on recordings: `DRCap.from_pretrained().caption("dog.wav")`
- `evaluation/` metrics, predictions, bootstrap and tables
- `experiments/` the grid behind the paper's tables: trained, captioned, scored, judged
- `estimate/`   what the jobs of a profile take, before they start
- `config/`, `assets.py`, `audio.py`, `processes.py`, `cli/`   what they stand on
"""

from importlib import import_module

__version__ = "0.1.0"

_EXPORTS = {
    "CLAP": "drcap.clap",
    "load_clap": "drcap.clap",
    "CaptionDatastore": "drcap.retrieval",
    "select_similar": "drcap.similarity_selection",
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
