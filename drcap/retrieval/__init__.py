"""Retrieval of similar captions (sec. II-B), for up to 450,000 of them.

- `datastore.py`              captions, their embeddings and the top k (inference)
- `similarity_selection.py`   the similar captions of a training prompt; its range
- `default.py`                AudioCaps' training captions, where no others are given
- `index.py`                  exact and approximate search, and their recall
- `files.py`, `build.py`      a datastore on disk, and building it shard by shard
"""

from drcap.retrieval.datastore import CaptionDatastore, Match

__all__ = ["CaptionDatastore", "Match"]
