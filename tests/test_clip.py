"""Captions are read from every kind of file in order, or a fault is named."""

import json

import pandas as pd
import pytest

from drcap.data.clip import READABLE, read_captions, read_listed
from drcap.errors import DatasetError

CAPTIONS = ["A dog barks, then howls", 'A man says "hello"', "Grillons à l'aube"]


def text_file(tmp_path, name, text, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def error_of(path):
    with pytest.raises(DatasetError) as caught:
        read_captions(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    return message


def file_of(captions, suffix, tmp_path):
    path = tmp_path / f"captions{suffix}"
    table = pd.DataFrame({"id": range(len(captions)), "caption": captions})
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    elif suffix == ".txt":
        path.write_text("\n".join(captions), encoding="utf-8")
    else:
        separator = "\t" if suffix == ".tsv" else ","
        table.to_csv(path, index=False, sep=separator)
    return path


@pytest.mark.parametrize("suffix", READABLE)
def test_every_kind_of_file_gives_its_captions_in_order(tmp_path, suffix):
    path = file_of(CAPTIONS, suffix, tmp_path)
    assert read_captions(path) == CAPTIONS
    if suffix == ".parquet":
        return
    # blank lines, the line ends of Windows, byte-order marks and UTF-16 are no matter
    lines = path.read_text(encoding="utf-8").splitlines()
    text = "\r\n \r\n".join(lines) + "\r\n\r\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_bytes(text.encode(encoding))
        assert read_captions(path) == CAPTIONS


def test_numbered_columns_are_read_row_by_row(tmp_path):
    text = "file_name,caption_1,caption_2\na.wav,one,two\nb.wav,three,four\n"
    path = text_file(tmp_path, "clotho.csv", text)
    assert read_captions(path) == ["one", "two", "three", "four"]


def test_jsonl_may_hold_targets_and_keeps_repeats(tmp_path):
    lines = [json.dumps({"key": i, "target": "A dog barks"}) for i in range(2)]
    path = text_file(tmp_path, "train.jsonl", "\n".join(lines))
    assert read_captions(path) == ["A dog barks"] * 2


def test_a_line_break_inside_a_caption_becomes_a_blank(tmp_path):
    path = text_file(tmp_path, "c.csv", 'caption\n"A dog\n barks"\n')
    assert read_captions(path) == ["A dog barks"]


def test_text_of_another_encoding_is_refused_not_guessed(tmp_path):
    text = "caption\nA dog\nUn chien à l'aube\n"
    message = error_of(text_file(tmp_path, "c.csv", text, "latin-1"))
    assert "line 3 is not UTF-8" in message and "iconv -f LATIN1" in message
    message = error_of(text_file(tmp_path, "c.csv", text, "utf-16-le"))
    assert "is not UTF-8" in message and "iconv -f UTF-16LE" in message


@pytest.mark.parametrize(
    "name, text, fault",
    [
        ("c.csv", "file,text\na,b\n", "no column 'caption'; its first line names file"),
        ("c.csv", "id,caption\n1,a dog\n\n2,\n", "line 4, column 'caption' is empty"),
        ("c.csv", "caption_1,caption_2\na,\n", "line 2, column 'caption_2' is empty"),
        ("c.csv", "id,caption\n1,a dog, barking\n", "line 2 has 3 columns, expected 2"),
        ("c.csv", "id,caption\n1,a\n2\n", "line 3 has 1 columns, expected 2"),
        ("c.csv", "caption,caption\na,b\n", "line 1 names a column twice"),
        ("c.csv", 'caption\na\n"open quote\n', "is not valid CSV"),
        ("c.tsv", "id,caption\n1,a dog\n", "no column 'caption'"),
        ("c.jsonl", '{"caption": "a"}\n{"caption"\n', "line 2 is not valid JSON"),
        ("c.jsonl", '{"caption": "a"}\n\n{"text": "a"}\n', "line 3 has no text under"),
        ("c.jsonl", '{"caption": " "}\n', "line 1 has no text under"),
        ("c.jsonl", '{"caption": ["a"]}\n', "line 1 has no text under"),
        ("c.jsonl", '["a"]\n', "line 1 is no JSON object"),
        ("c.jsonl", '{"caption": "a\\u0000b"}\n', "line 1 holds a NUL character"),
        ("c.txt", "a dog\na\0cat\n", "line 2 holds a NUL character; save"),
        ("c.csv", "caption\n#NAME?\n", "is '#NAME?': a spreadsheet has overwritten"),
        ("c.parquet", "not parquet", "cannot be read as parquet"),
        ("c.docx", "a dog", "captions are read from .txt, .csv"),
    ],
)
def test_a_malformed_file_is_refused_and_the_place_named(tmp_path, name, text, fault):
    assert fault in error_of(text_file(tmp_path, name, text))


def test_a_parquet_table_with_a_null_caption_is_refused(tmp_path):
    pd.DataFrame({"caption": ["a dog", None]}).to_parquet(tmp_path / "c.parquet")
    assert "line 2, column 'caption' is empty" in error_of(tmp_path / "c.parquet")


@pytest.mark.parametrize(
    "name, text", [("c.txt", ""), ("c.txt", "\n \n"), ("c.csv", "caption\n")]
)
def test_a_file_without_captions_is_refused(tmp_path, name, text):
    assert "holds no captions" in error_of(text_file(tmp_path, name, text))


def test_a_missing_file_and_a_folder_are_named_in_the_error(tmp_path):
    assert "no such file" in error_of(tmp_path / "absent.txt")
    (tmp_path / "folder.txt").mkdir()
    assert "cannot be read (Is a directory)" in error_of(tmp_path / "folder.txt")
    assert "no such file" in error_of(tmp_path / "absent.parquet")


def test_a_table_of_files_lists_clips_with_all_their_captions(tmp_path):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds/a.wav").touch()
    rows = "sounds/a.wav,one\nb.wav,two\nsounds/a.wav,three\n"
    listed = read_listed(text_file(tmp_path, "mine.csv", "file,caption\n" + rows))
    [clip] = listed.clips
    assert clip.path == tmp_path / "sounds/a.wav"
    assert clip.captions == ("one", "three")
    assert listed.missing == ("b.wav",)
    tabs = text_file(tmp_path, "gone.tsv", "file\tcaption_1\nc.wav\tfour\n")
    with pytest.raises(DatasetError, match="none of its 1 recordings is here"):
        read_listed(tabs)
