"""The files of the authors' code, read and written (see docs/authors_code.md)."""
