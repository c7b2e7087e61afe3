"""The paper's experiments (sec. III, IV): from a row of a table to its scores.

In reading order:

- `grid.py`       which experiments there are, and what each ablation changes
- `materials.py`  what they share: corpora, CLAP models, embeddings
- `run.py`        a system trained, its captions, their scores; what is up to date
- `results.py`    a row's numbers: the paper's, and ours, kept in one table
- `effects.py`    what a part of DRCap is worth: one row less another
- `tables.py`     Tables I to IV, ours beside the paper's, and what a row costs
- `claims.py`, `claims.toml`   what the paper claims, in its words, tested
- `scale.py`      what a score means: people, the truth told, captions shuffled
- `listening.py`  DRCap with one input taken away
- `analysis.py`   one setting varied; clips on which two systems differ; from which
  corpus a prompt's captions are
"""
