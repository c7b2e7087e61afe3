import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from drcap.errors import ConfigError, DatastoreError
from drcap.files.embeddings import (
    blocks_of,
    check_unit_rows,
    float32,
    map_rows,
    write_rows,
)


def random_rows(count, dim=8):
    return np.random.default_rng(0).standard_normal((count, dim)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_bytes_are_those_of_safetensors(tmp_path, dtype, count):
    rows = random_rows(count).astype(dtype)
    blocks = [rows[:2], rows[2:]]
    write_rows(tmp_path / "blocks", blocks, rows.shape, dtype)
    save_file({"embeddings": rows}, tmp_path / "whole")
    blocks, whole = (tmp_path / name for name in ("blocks", "whole"))
    assert blocks.read_bytes() == whole.read_bytes()
    np.testing.assert_array_equal(map_rows(whole), rows)
    assert map_rows(whole).dtype == dtype


def test_metadata_is_read_back_and_does_not_shift_the_rows(tmp_path):
    rows = random_rows(5)
    write_rows(tmp_path / "rows", [rows], rows.shape, "float32", {"a": "bcd"})
    np.testing.assert_array_equal(map_rows(tmp_path / "rows"), rows)
    np.testing.assert_array_equal(load_file(tmp_path / "rows")["embeddings"], rows)


def test_a_map_may_be_written_to_without_changing_the_file(tmp_path):
    rows = random_rows(5)
    write_rows(tmp_path / "rows", [rows], rows.shape, "float32")
    map_rows(tmp_path / "rows")[:] = 0
    np.testing.assert_array_equal(map_rows(tmp_path / "rows"), rows)


def test_blocks_too_few_or_of_no_known_type_are_refused(tmp_path):
    rows = random_rows(5)
    with pytest.raises(ValueError, match="expected 6 rows, got 5"):
        write_rows(tmp_path / "rows", [rows], (6, 8), "float32")
    with pytest.raises(ConfigError, match="'int8' is not stored; use float32"):
        write_rows(tmp_path / "rows", [rows], (5, 8), "int8")


def test_blocks_are_float32_tensors_that_make_up_the_whole():
    rows = random_rows(10).astype(np.float16)
    starts, blocks = zip(*blocks_of(rows, 4), strict=True)
    assert starts == (0, 4, 8)
    assert all(block.dtype == torch.float32 for block in blocks)
    np.testing.assert_array_equal(torch.cat(blocks).numpy(), rows.astype(np.float32))


def test_rows_that_must_not_be_written_to_become_a_tensor_without_a_warning(recwarn):
    rows = random_rows(3)
    rows.flags.writeable = False
    assert float32(rows).shape == (3, 8)
    assert not recwarn.list


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_of_another_norm_or_none_are_told_from_unit_rows(dtype, monkeypatch):
    monkeypatch.setattr("drcap.files.embeddings.CHECKED", 4)
    rows = random_rows(10)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(dtype)
    check_unit_rows(rows)
    check_unit_rows(rows[:0])
    for wrong in (0.99, np.nan):
        spoilt = rows.copy()
        spoilt[9] *= wrong
        with pytest.raises(DatastoreError, match="not unit rows"):
            check_unit_rows(spoilt)
