"""The authors' CLAP embeds as their code does; any other file is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from doubles_authors import (
    AUDIO,
    SMALL,
    SMALL_ROBERTA,
    TRANSFORM,
    clap_state,
    constants,
    write_clap,
)
from transformers import RobertaConfig

from drcap.authors.clap import ROBERTA, load_authors
from drcap.config import CLAPConfig
from drcap.errors import AssetError, CheckpointError
from drcap.load import load_clap
from drcap.projection import project

GOLDEN = Path(__file__).parent / "golden" / "authors_clap.npz"


def load_small(path: Path, **options):
    return load_authors(
        path, config=SMALL, text_architecture=SMALL_ROBERTA, device="cpu", **options
    )


def waveforms() -> tuple[np.ndarray, np.ndarray]:
    """A rising tone in noise, 10 s at 32 kHz; its 3rd and 4th second, then silence."""
    time = np.arange(320_000) / 32_000
    noise = np.random.RandomState(0).standard_normal(len(time))
    tone = np.sin(2 * np.pi * (200 + 150 * time) * time)
    ten = (0.3 * tone + 0.05 * noise).astype(np.float32)
    return ten, ten[64_000:128_000]


@torch.inference_mode()
def embed_tokens(clap, ids: torch.Tensor) -> torch.Tensor:
    states = clap.model.text_encoder(ids, (ids != 1).long())
    return clap.model.project_text(states)


def embeddings(clap) -> torch.Tensor:
    ids = torch.tensor([[0, 7, 8, 9, 2], [0, 11, 2, 1, 1]])
    return torch.cat([clap.encode_audio(waveforms()), embed_tokens(clap, ids)])


@pytest.fixture(scope="module")
def tensors():
    return clap_state()


@pytest.fixture(scope="module")
def small(tensors, tmp_path_factory):
    return write_clap(tmp_path_factory.mktemp("authors") / "best_model.pt", tensors)


def test_every_tensor_reaches_its_place(small, tensors):
    model = load_small(small).model
    encoder = model.audio_encoder.audio_encoder
    block, attention = "layers.1.blocks.1.", encoder.layers[1].blocks[1].attention
    for part, rows in (("query", 0), ("key", 16), ("value", 32)):
        ours = getattr(attention.self, part)
        for kind in ("weight", "bias"):
            theirs = tensors[f"{AUDIO}{block}attn.qkv.{kind}"][rows : rows + 16]
            assert torch.equal(getattr(ours, kind), theirs)
    ours = dict(model.named_parameters()) | dict(model.named_buffers())
    learned = sum(each.numel() for each in model.parameters()) + 2 * 64
    assert learned == sum(each.numel() for each in tensors.values())
    for name, key in {
        "audio_encoder.audio_encoder.batch_norm.running_var": "bn0.running_var",
        "audio_encoder.audio_encoder.layers.0.downsample.norm.bias": (
            "layers.0.downsample.norm.bias"
        ),
        "audio_encoder.audio_encoder.layers.0.blocks.1.output.dense.weight": (
            "layers.0.blocks.1.mlp.fc2.weight"
        ),
        "audio_encoder.audio_encoder.layers.0.blocks.1.layernorm_after.bias": (
            "layers.0.blocks.1.norm2.bias"
        ),
    }.items():
        assert torch.equal(ours[name], tensors[AUDIO + key])


def test_the_model_embeds_with_the_authors_temperature(small):
    clap = load_small(small)
    assert clap.temperature == pytest.approx(0.05)
    assert (clap.dim, clap.sr, clap.window_seconds) == (24, 32_000, 10.0)
    norms = embeddings(clap).norm(dim=-1)
    torch.testing.assert_close(norms, torch.ones(4))


def test_what_a_real_file_holds_besides_changes_nothing(small, tensors, tmp_path):
    full = tensors | constants()
    full = {f"module.{key}": tensor for key, tensor in full.items()}
    other = write_clap(tmp_path / "best_model.pt", full)
    assert torch.equal(embeddings(load_small(other)), embeddings(load_small(small)))


def test_the_floor_of_other_checkpoints_can_be_given(small):
    default, lower = load_small(small), load_small(small, floor=1e-10)
    silence = torch.zeros(1, 320_000)
    assert default.model.front_end(silence).unique().tolist() == pytest.approx([-60])
    assert lower.model.front_end(silence).unique().tolist() == pytest.approx([-100])
    assert default.fingerprint != lower.fingerprint


def test_missing_and_unexpected_keys_are_listed(tensors, tmp_path):
    odd = dict(tensors, surprise=torch.zeros(1))
    del odd["temp"], odd[AUDIO + "norm.bias"]
    path = write_clap(tmp_path / "best_model.pt", odd)
    with pytest.raises(CheckpointError) as caught:
        load_small(path)
    expected = f"missing keys: {AUDIO}norm.bias, temp; unexpected keys: surprise"
    assert str(path) in str(caught.value) and expected in str(caught.value)


def test_tensors_of_another_size_are_named(tensors, tmp_path):
    wider = dict(tensors) | {"text_proj.2.bias": torch.zeros(25)}
    path = write_clap(tmp_path / "best_model.pt", wider)
    with pytest.raises(
        CheckpointError, match=r"text_proj.2.bias is \(25,\) in place of"
    ):
        load_small(path)


def test_another_front_end_is_refused(tensors, tmp_path):
    key = TRANSFORM + "log_trans.melW"
    path = tmp_path / "best_model.pt"
    for bands in (constants()[key] * 1.01, constants()[key][:-1]):
        write_clap(path, tensors | {key: bands})
        with pytest.raises(CheckpointError, match="trained on another front end"):
            load_small(path)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "best_model.pt"
    with pytest.raises(CheckpointError, match="no such file"):
        load_clap(path)
    path.write_bytes(b"PK damaged")
    with pytest.raises(CheckpointError, match="best_model.pt"):
        load_clap(path)
    torch.save({"weights": 1}, path)
    with pytest.raises(CheckpointError, match="no state dict called 'model'"):
        load_clap(path)
    torch.save({"model": {}, "code": Path}, path)
    with pytest.raises(CheckpointError, match="could run code on loading"):
        load_clap(path)


def test_a_missing_tokenizer_is_named_when_a_caption_comes(small):
    clap = load_small(small, tokenizer="./no-such-folder")
    with pytest.raises(AssetError, match="no model folder at ./no-such-folder"):
        clap.encode_text(["a dog barks"])


@pytest.mark.slow
def test_the_authors_own_outputs_are_reproduced(tmp_path):
    config, golden = CLAPConfig(), np.load(GOLDEN)
    path = write_clap(
        tmp_path / "best_model.pt", clap_state(config, RobertaConfig(**ROBERTA))
    )
    clap = load_authors(path, device="cpu")
    path.unlink()
    ten, two = waveforms()

    def same(ours, name):
        np.testing.assert_allclose(ours, golden[name], atol=1e-4, rtol=0)

    frames = clap.model.front_end(torch.from_numpy(ten)[None])[0]
    same(torch.cat([frames[:3], frames[-3:]]), "logmel_w10_first3_last3")
    audio = clap.encode_audio([ten, two])
    same(audio[0], "audio_w10")
    same(audio[1], "audio_w2_padded_to_10s")
    ids = torch.from_numpy(golden["text_ids"])
    same(embed_tokens(clap, ids), "text")
    support = np.random.RandomState(7).standard_normal((500, 1024)).astype(np.float32)
    support /= np.linalg.norm(support, axis=1, keepdims=True)
    projected = project(audio[:1], support, clap.temperature)
    same(projected[0], "projected_audio_w10")
