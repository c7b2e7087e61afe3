"""Retrieval of similar captions (sec. II-B), and all it takes with 450,000 of them.

- `datastore.py`              captions, their embeddings and the plain top k (inference)
- `similarity_selection.py`   the similar captions of a training prompt
- `similarity_range.py`       what a range of similarities means in a CLAP model's space
- `matches.py`                a query and a caption; how captions are told apart
- `default.py`                AudioCaps' training captions, where no others are given
- `nearest.py`, `recall.py`   exact and approximate search, and how they compare
- `datastore_files.py`, `datastore_build.py`   a datastore on disk, built shard by shard
"""

from drcap.retrieval.datastore import CaptionDatastore

__all__ = ["CaptionDatastore"]
