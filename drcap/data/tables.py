"""Text, tables and JSON lines, read strictly: a fault is named by its file and line."""

import codecs
import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from drcap.errors import DatasetAbsentError, DatasetError

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_bytes(path: Path) -> bytes:
    """Return the content of a file; DatasetError if it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DatasetAbsentError(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror}); give a readable file"
        ) from None


def read_text(path: Path, fallback: str | None = None) -> str:
    """Return the text of a UTF-8 or UTF-16 file without its mark, line ends kept.

    fallback : the encoding of a file that is not UTF-8
    Raises DatasetError: no such file, another encoding, or a NUL character.
    """
    data = read_bytes(path)
    if data.startswith(UTF16_MARKS):
        return data.decode("utf-16", errors="replace")
    try:
        text, fault = data.decode("utf-8-sig"), data.find(b"\0")
    except UnicodeDecodeError as error:
        text = data.decode(fallback) if fallback else ""
        fault = -1 if fallback else error.start
    if fault >= 0:
        line = data.count(b"\n", 0, fault) + 1
        raise DatasetError(
            f"{path}: line {line} is not UTF-8 text; convert the file, for instance by "
            "`iconv -f LATIN1 -t UTF-8`"
        )
    return text


def read_table(
    path: Path, delimiter: str = ",", fallback: str | None = None
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield (line number, column -> cell) for each row below the header.

    Blank lines are skipped; in a cell each run of blanks and line breaks becomes one
    blank. `fallback` is that of `read_text`, whose errors are raised, too.
    Raises DatasetError for a column named twice and for a row of another width.
    """
    text = io.StringIO(read_text(path, fallback), newline="")
    reader, header = csv.reader(text, delimiter=delimiter, strict=True), []
    try:
        for row in reader:
            cells = [" ".join(cell.split()) for cell in row]
            if not any(cells):
                continue
            if not header:
                header = cells
                if len(set(header)) < len(header):
                    raise DatasetError(f"{path}: line 1 names a column twice")
                continue
            if len(cells) != len(header):
                raise DatasetError(
                    f"{path}: line {reader.line_num} has {len(cells)} columns, "
                    f"expected {len(header)} (a caption with a comma must be quoted)"
                )
            yield reader.line_num, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DatasetError(
            f"{path}: line {reader.line_num} is not valid CSV ({error})"
        ) from None


def filled(path: Path, line: int, row: dict[str, str], column: str) -> str:
    """Return a cell; DatasetError if its column is not there, or it is empty."""
    if column not in row:
        raise DatasetError(
            f"{path}: has no column {column!r}; its first line names {', '.join(row)}"
        )
    if not row[column]:
        raise DatasetError(f"{path}: line {line}, column {column!r} is empty")
    return row[column]


def json_lines(path: Path) -> Iterator[tuple[int, dict]]:
    """Yield (line number, object) for each line that is not blank.

    Raises DatasetError for a line that is no JSON object.
    """
    for number, text in enumerate(read_text(path).split("\n"), 1):
        if not text.strip():
            continue
        try:
            entry = json.loads(text)
        except json.JSONDecodeError as error:
            raise DatasetError(
                f"{path}: line {number} is not valid JSON ({error.msg}, "
                f"column {error.colno}); write the file again"
            ) from None
        if not isinstance(entry, dict):
            raise DatasetError(f"{path}: line {number} is no JSON object")
        yield number, entry


def text_under(where: str, entry: dict, *keys: str) -> str:
    """Return the text under the first key there is, each run of blanks as one blank.

    Raises DatasetError if it is no text.
    """
    text = next((entry[key] for key in keys if key in entry), None)
    if not isinstance(text, str) or not text.strip():
        names = " or ".join(map(repr, keys))
        raise DatasetError(f"{where} has no text under {names}")
    return " ".join(text.split())
