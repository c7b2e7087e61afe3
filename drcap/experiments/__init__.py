"""The paper's experiments (sec. III, IV): from a row of a table to its scores.

In reading order:

- `grid.py`       which experiments there are, and what each ablation changes
- `materials.py`  what they share: corpora, CLAP models, embeddings
- `run.py`        a system trained, its captions, their scores; what is up to date
- `sweeps.py`     one setting of inference varied, on validation clips
- `paper.py`      the paper's numbers
- `tables.py`     ours beside them, and what a row costs
- `claims.py`     what the paper claims, tested
- `effects.py`, `examples.py`, `origins.py`   what an ablation costs, clips on which two
  systems differ, and from which corpus a prompt's captions are
"""
