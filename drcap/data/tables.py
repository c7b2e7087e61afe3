"""Text and tables, read strictly: a fault is named by its file, line and column."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from drcap.errors import DatasetError


def check_file(path: Path) -> None:
    """Refuse a path that leads to no readable file."""
    if path.is_dir():
        raise DatasetError(f"{path}: is a folder; give a file inside it")
    try:
        path.open("rb").close()
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be opened ({error.strerror}); check its permissions"
        ) from None


def read_text(path: Path, fallback: str | None = None) -> str:
    """Return a UTF-8 file's text, any byte-order mark removed, line ends kept.

    fallback : the encoding of a file that is not UTF-8; without it, a DatasetError
    """
    check_file(path)
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if fallback is not None:
            return data.decode(fallback)
        line = data.count(b"\n", 0, error.start) + 1
        raise DatasetError(
            f"{path}: line {line} is not UTF-8 text; convert the file, for instance "
            f"`iconv -f latin1 -t utf-8` if it is Latin-1"
        ) from None


def read_table(
    path: Path, delimiter: str = ",", fallback: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, column -> cell) for each row below the header.

    Blank lines are skipped; in a cell each run of blanks and line breaks becomes one
    blank. A column named twice, or a row of another width, is a DatasetError.
    fallback : the encoding of a file that is not UTF-8; without it, a DatasetError
    """
    rows = _rows(path, delimiter, fallback)
    _, header = next(rows, (0, []))
    if twice := {name for name in header if header.count(name) > 1}:
        raise DatasetError(f"{path}: line 1 names the column {min(twice)!r} twice")
    for line, cells in rows:
        if len(cells) != len(header):
            raise DatasetError(
                f"{path}: line {line} has {len(cells)} columns, expected {len(header)} "
                "(a caption with a comma must be quoted)"
            )
        yield line, dict(zip(header, cells, strict=True))


def filled(path: Path, line: int, row: dict[str, str], column: str) -> str:
    """Return a row's cell; DatasetError if there is no such column or it is empty."""
    if column not in row:
        raise DatasetError(
            f"{path}: has no column {column!r}; its first line names {', '.join(row)}"
        )
    if not row[column]:
        raise DatasetError(f"{path}: line {line}, column {column!r} is empty")
    return row[column]


def _rows(
    path: Path, delimiter: str, fallback: str | None
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) for each row that is not blank, the header first."""
    text = io.StringIO(read_text(path, fallback), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells = [" ".join(cell.split()) for cell in row]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise DatasetError(
            f"{path}: line {reader.line_num} is not valid CSV ({error})"
        ) from None
