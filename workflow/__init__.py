"""What the run graph (Snakefile) needs beside the `drcap` command: python -m workflow.

- `graph.py`      which tables, notebooks and experiments it makes, and in which jobs
- `__main__.py`   corpora, datastore, embeddings and tables made ready
- `notebooks.py`  a notebook run with parameters, cleaned; its outputs published
- `real.py`       the tables of real recordings, on a reader's own copy of AudioCaps
- `summary.py`, `readme.py`   the page of a profile's results; the README's tables
"""
