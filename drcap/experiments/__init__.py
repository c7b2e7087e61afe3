"""The paper's experiments (sec. III, IV): from a row of a table to its scores.

In reading order:

- `grid.py`       which experiments there are, and what each ablation changes
- `materials.py`   what they share: corpora, CLAP models, embeddings
- `training.py`   a captioner for each experiment that needs one of its own
- `prediction.py` the test clips, captioned
- `results.py`    captions, scores and records on disk
- `scoring.py`    what of them is missing is done
- `sweeps.py`     one setting of inference varied, on validation clips
- `paper.py`      the paper's numbers
- `measured.py`, `tables.py`, `table_pages.py`   ours beside them
- `comparisons.py`, `claims.py`, `claim_pages.py`   what the paper claims, tested
- `effects.py`, `examples.py`, `origins.py`   what an ablation costs, clips on which two
  systems differ, and from which corpus a prompt's captions are
"""
