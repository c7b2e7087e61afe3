"""Text, tables and JSON lines, read strictly: a fault is named by its file and line."""

import codecs
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from drcap.errors import DatasetAbsentError, DatasetError

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# what a spreadsheet puts into a cell that it took for a formula, such as an id "-ab"
SPREADSHEET_ERROR = re.compile(r"#(N/A|[A-Z0-9/]+[!?])")


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
    try:
        text = data.decode("utf-16" if data.startswith(UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError as error:
        if not fallback or b"\0" in data:
            guess = "UTF-16LE" if b"\0" in data else "LATIN1"
            line = data.count(b"\n", 0, error.start) + 1
            raise DatasetError(
                f"{path}: line {line} is not UTF-8 text; convert the file, for "
                f"instance `iconv -f {guess} -t UTF-8` if it is {guess}"
            ) from None
        text = data.decode(fallback)
    if (place := text.find("\0")) >= 0:
        line = text.count("\n", 0, place) + 1
        raise DatasetError(
            f"{path}: line {line} holds a NUL character; save the file as UTF-8 text"
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
    """Return a cell; DatasetError if it is empty, overwritten or of no column."""
    if column not in row:
        raise DatasetError(
            f"{path}: has no column {column!r}; its first line names {', '.join(row)}"
        )
    if not row[column]:
        raise DatasetError(f"{path}: line {line}, column {column!r} is empty")
    if SPREADSHEET_ERROR.fullmatch(row[column]):
        raise DatasetError(
            f"{path}: line {line}, column {column!r} is {row[column]!r}: a spreadsheet "
            "has overwritten it; fetch the file again"
        )
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


def validated(kind: TypeAdapter, entry: dict, path: Path, line: int) -> Any:
    """Return a line's object as pydantic reads it; DatasetError names the field."""
    try:
        return kind.validate_python(entry)
    except ValidationError as error:
        fault = error.errors()[0]
        where = f"{path}: line {line}, field {fault['loc'][0]!r}"
        raise DatasetError(f"{where}: {fault['msg']}") from None


def text_under(where: str, entry: dict, *keys: str) -> str:
    """Return the text under the first key there is, each run of blanks as one blank.

    Raises DatasetError if it is no text, or holds a NUL character.
    """
    text = next((entry[key] for key in keys if key in entry), None)
    if not isinstance(text, str) or not text.strip():
        names = " or ".join(map(repr, keys))
        raise DatasetError(f"{where} has no text under {names}")
    if "\0" in text:
        raise DatasetError(f"{where} holds a NUL character; remove it")
    return " ".join(text.split())
