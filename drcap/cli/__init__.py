"""The `drcap` command; `python -m drcap.cli` for launchers of several processes.

- `__main__.py`     the command: its subcommands, its exit codes
- `options.py`      options that subcommands share, and what they mean
- `caption.py`      recordings in, captions out
- `classify.py`     the likeliest labels of recordings
- `evaluate.py`     a data set captioned and scored
- `train.py`        CLAP, captioner, bridge, systems; cells of the grid
- `datastore.py`    captions to retrieve from
- `data.py`         the real datasets; files and models of the authors' code
- `machine.py`      what this machine has: the doctor; pinned weights and data
"""
