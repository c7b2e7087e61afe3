"""Caption metrics, retrieval scores and their intervals (sec. III-B).

- `metrics.py`   every caption metric, of one system, all systems of a table, or people
- `engine.py`    aac-metrics, which computes most of them
- `java.py`      METEOR and the tokeniser, in one Java machine
- `spice.py`     SPICE, its authors' own program
- `fluency.py`   FENSE and the SBERT similarity
- `retrieval_scores.py`   how well a CLAP model finds captions by sound, and back
- `bootstrap.py` intervals of a mean score and of a difference, over clips and seeds
- `tables.py`    scores as CSV and Markdown
"""
