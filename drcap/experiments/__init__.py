"""The paper's experiments (sec. III, IV): from a row of a table to its scores.

In reading order:

- `grid.py`       which experiments there are, and what each ablation changes
- `materials.py`  what they share: corpora, CLAP models, embeddings, datastore
- `training.py`   a captioner for each experiment that needs one of its own
- `prediction.py` the test clips, captioned
- `scoring.py`    the captions, scored, and the scores of a finished grid read back
- `sweeps.py`     one setting of inference varied, on validation clips
- `paper.py`, `tables.py`, `claims.py`   the paper's numbers beside ours, and its claims
"""
