import zlib
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from transformers import RobertaConfig

from drcap.clap import load_clap
from drcap.clap.authors import load_authors, roberta_base
from drcap.config import CLAPConfig, override
from drcap.errors import AssetError, CheckpointError
from drcap.projection import project

GOLDEN = Path(__file__).parent / "golden" / "authors_clap.npz"
AUDIO = "audio_encoder.audio_enc."
TEXT = "text_encoder.text_encoder."
TRANSFORM = AUDIO + "audio_feats_extractor.mel_trans."

SMALL = override(
    CLAPConfig(),
    {
        "dim": 24,
        "audio_encoder": {"width": 8, "depths": (2, 2), "heads": (2, 4)},
    },
)
SMALL_ROBERTA = RobertaConfig(
    **{"vocab_size": 40, "max_position_embeddings": 34, "type_vocab_size": 1},
    **{"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2},
    intermediate_size=32,
)


def linear(name: str, inside: int, outside: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)}


def norm(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def audio_layout(config: CLAPConfig) -> dict[str, tuple[int, ...]]:
    """The learned tensors of the authors' HTS-AT: key -> shape."""
    settings, mels = config.audio_encoder, config.front_end.mels
    width, patch = settings.width, settings.patch_size
    shapes = norm("bn0", mels) | {"bn0.running_mean": (mels,)}
    shapes |= {"bn0.running_var": (mels,), "patch_embed.proj.bias": (width,)}
    shapes |= {"patch_embed.proj.weight": (width, 1, patch, patch)}
    shapes |= norm("patch_embed.norm", width)
    offsets = (2 * settings.window_size - 1) ** 2
    for stage, (depth, heads) in enumerate(
        zip(settings.depths, settings.heads, strict=True)
    ):
        for number in range(depth):
            block = f"layers.{stage}.blocks.{number}."
            shapes |= norm(block + "norm1", width) | norm(block + "norm2", width)
            shapes[block + "attn.relative_position_bias_table"] = (offsets, heads)
            shapes |= linear(block + "attn.qkv", width, 3 * width)
            shapes |= linear(block + "attn.proj", width, width)
            shapes |= linear(block + "mlp.fc1", width, 4 * width)
            shapes |= linear(block + "mlp.fc2", 4 * width, width)
        if stage + 1 < len(settings.depths):
            merging = f"layers.{stage}.downsample."
            shapes[merging + "reduction.weight"] = (2 * width, 4 * width)
            shapes |= norm(merging + "norm", 4 * width)
            width *= 2
    shapes |= norm("norm", width)
    return {AUDIO + key: shape for key, shape in shapes.items()}


def text_layout(roberta: RobertaConfig) -> dict[str, tuple[int, ...]]:
    """The tensors of the authors' RoBERTa: key -> shape."""
    width, inner = roberta.hidden_size, roberta.intermediate_size
    rows = {
        "word": roberta.vocab_size,
        "position": roberta.max_position_embeddings,
        "token_type": roberta.type_vocab_size,
    }
    shapes = {f"embeddings.{k}_embeddings.weight": (n, width) for k, n in rows.items()}
    shapes |= norm("embeddings.LayerNorm", width)
    for number in range(roberta.num_hidden_layers):
        layer = f"encoder.layer.{number}."
        for part in ("query", "key", "value"):
            shapes |= linear(f"{layer}attention.self.{part}", width, width)
        shapes |= linear(layer + "attention.output.dense", width, width)
        shapes |= norm(layer + "attention.output.LayerNorm", width)
        shapes |= linear(layer + "intermediate.dense", width, inner)
        shapes |= linear(layer + "output.dense", inner, width)
        shapes |= norm(layer + "output.LayerNorm", width)
    return {TEXT + key: shape for key, shape in shapes.items()}


def layout(config: CLAPConfig, roberta: RobertaConfig) -> dict[str, tuple[int, ...]]:
    """Every learned tensor that an embedding depends on: key -> shape."""
    heard = config.audio_encoder.width * 2 ** (len(config.audio_encoder.depths) - 1)
    shapes: dict[str, tuple[int, ...]] = {"temp": ()}
    for side, width in (("audio", heard), ("text", roberta.hidden_size)):
        shapes |= linear(f"{side}_proj.0", width, config.dim)
        shapes |= linear(f"{side}_proj.2", config.dim, config.dim)
    return shapes | audio_layout(config) | text_layout(roberta)


def by_rule(key: str, shape: tuple[int, ...]) -> torch.Tensor:
    """The value of one tensor: drawn from a stream that its key seeds."""
    if key == "temp":
        return torch.tensor(0.05)
    stream = np.random.RandomState(zlib.crc32(key.encode()))
    drawn = stream.standard_normal(shape).astype(np.float32)
    if len(shape) > 1:
        drawn /= np.float32(np.sqrt(np.prod(shape[1:])))
    elif key.endswith("running_var"):
        drawn = 1 + 0.1 * np.abs(drawn)
    else:
        drawn = 0.1 * drawn + (1 if key.endswith("weight") else 0)
    return torch.from_numpy(drawn)


def state(config=SMALL, roberta=SMALL_ROBERTA) -> dict[str, torch.Tensor]:
    return {key: by_rule(key, shape) for key, shape in layout(config, roberta).items()}


def write(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save({"model": tensors, "optimizer": {"state": {}}, "epoch": 15}, path)
    return path


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


def constants() -> dict[str, torch.Tensor]:
    """What a real checkpoint holds besides: constants, and AudioSet's classifier."""
    window = librosa.filters.get_window("hann", 1024)
    spectra = np.fft.fft(np.eye(1024))[:513] * window
    mel = librosa.filters.mel(sr=32_000, n_fft=1024, n_mels=64, fmin=50, fmax=14_000)
    arrays = {
        TRANSFORM + "stft.conv_real.weight": spectra.real[:, None],
        TRANSFORM + "stft.conv_imag.weight": spectra.imag[:, None],
        TRANSFORM + "log_trans.melW": mel.T,
        AUDIO + "bn0.num_batches_tracked": np.array(3),
        AUDIO + "layers.0.blocks.0.attn.relative_position_index": np.zeros((64, 64)),
        AUDIO + "layers.0.blocks.1.attn_mask": np.zeros((64, 64, 64)),
        AUDIO + "tscam_conv.weight": np.zeros((527, 16, 2, 3)),
        AUDIO + "tscam_conv.bias": np.zeros(527),
        AUDIO + "head.weight": np.zeros((527, 527)),
        AUDIO + "head.bias": np.zeros(527),
        TEXT + "embeddings.position_ids": np.arange(34)[None],
    }
    return {key: torch.tensor(array).float() for key, array in arrays.items()}


def embeddings(clap) -> torch.Tensor:
    ids = torch.tensor([[0, 7, 8, 9, 2], [0, 11, 2, 1, 1]])
    with torch.inference_mode():
        text = clap.model.embed_tokens(ids, (ids != 1).long())
    return torch.cat([clap.encode_audio(waveforms()), text])


@pytest.fixture(scope="module")
def tensors():
    return state()


@pytest.fixture(scope="module")
def small(tensors, tmp_path_factory):
    return write(tmp_path_factory.mktemp("authors") / "best_model.pt", tensors)


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
    other = write(tmp_path / "best_model.pt", full)
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
    path = write(tmp_path / "best_model.pt", odd)
    with pytest.raises(CheckpointError) as caught:
        load_small(path)
    expected = f"missing keys: {AUDIO}norm.bias, temp; unexpected keys: surprise"
    assert str(path) in str(caught.value) and expected in str(caught.value)


def test_tensors_of_another_size_are_named(tensors, tmp_path):
    wider = dict(tensors) | {"text_proj.2.bias": torch.zeros(25)}
    path = write(tmp_path / "best_model.pt", wider)
    with pytest.raises(CheckpointError, match=r"text_proj.2.bias to make \(24,\)"):
        load_small(path)


@pytest.mark.parametrize("key", ["stft.conv_imag.weight", "log_trans.melW"])
def test_another_front_end_is_refused(tensors, tmp_path, key):
    other = tensors | {TRANSFORM + key: constants()[TRANSFORM + key] * 1.01}
    path = write(tmp_path / "best_model.pt", other)
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
    path = write(tmp_path / "best_model.pt", state(config, roberta_base()))
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
    with torch.inference_mode():
        same(clap.model.embed_tokens(ids, (ids != 1).long()), "text")
    support = np.random.RandomState(7).standard_normal((500, 1024)).astype(np.float32)
    support /= np.linalg.norm(support, axis=1, keepdims=True)
    projected = project(audio[:1], support, clap.temperature)
    same(projected[0], "projected_audio_w10")
