"""The files of the authors' code, read and written (see docs/authors_code.md).

- `torch_files.py`   what torch.save wrote, read without running code, key by key
- `clap.py`          their CLAP, best_model.pt
- `captioner.py`     their captioner, as a folder for `DRCap.from_pretrained`
- `jsonl.py`         their lists of captions and recordings
"""
