"""The authors' captioner becomes a DRCap that computes what theirs does, by hand."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from doubles_authors import (
    ALPHA,
    CAPTIONS,
    RANK,
    SMALL,
    SMALL_ROBERTA,
    WIDTH,
    adapter_state,
    mapper_state,
    support_rows,
    write_adapter,
    write_released,
)
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from drcap.authors import captioner as authors
from drcap.authors.captioner import import_model, read_released
from drcap.authors.clap import load_authors
from drcap.errors import AssetError, CheckpointError, ConfigError
from drcap.projection import project
from drcap.systems.drcap import DRCap


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = write_released(tmp_path_factory.mktemp("authors"))
    write_adapter(folder / "safetensors", "adapter_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def clap(files):
    return load_authors(
        files / "best_model.pt",
        **{"config": SMALL, "text_architecture": SMALL_ROBERTA},
        **{"tokenizer": str(files / "tokenizer"), "device": "cpu"},
    )


@pytest.fixture
def read(files, language_model):
    """Read the released files, some of them replaced."""

    def read(mapper="model.pt", lora="bin", support="support.pt"):
        lora = files / lora if lora else None
        return read_released(files / mapper, files / support, lora, language_model)

    return read


@pytest.fixture(scope="module")
def imported(files, language_model, tmp_path_factory):
    """A folder made of the files, with captions of its own."""
    folder = tmp_path_factory.mktemp("imported") / "model"
    small = {"config": SMALL, "text_architecture": SMALL_ROBERTA}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(authors, "load_authors", partial(load_authors, **small))
        size = import_model(
            *(files / name for name in ("best_model.pt", "model.pt", "support.pt")),
            folder,
            lora=files / "bin",
            captions=files / "captions.txt",
            language_model=language_model,
            tokenizer=str(files / "tokenizer"),
            device="cpu",
        )
    assert size == sum(path.stat().st_size for path in folder.rglob("*.*"))
    return folder


@pytest.fixture(scope="module")
def model(imported):
    return DRCap.from_pretrained(imported, device="cpu")


@pytest.fixture
def recording(tmp_path):
    """Twelve seconds of stereo, another sound in either channel and at the end."""
    random = np.random.default_rng(0)
    samples = np.cumsum(random.standard_normal((12 * 32_000, 2)), axis=0) / 5_000
    samples[10 * 32_000 :] *= random.standard_normal((2 * 32_000, 2))
    path = tmp_path / "stereo.wav"
    soundfile.write(path, samples, 32_000, subtype="FLOAT")
    return path, samples[: 10 * 32_000, 0].astype(np.float32)


@pytest.fixture(scope="module")
def adapted(language_model):
    """The language model with W + alpha / r B A in the place of each W, by hand."""
    llm = AutoModelForCausalLM.from_pretrained(language_model, dtype=torch.float32)
    weights, adapter = llm.state_dict(), adapter_state()
    for key in [key for key in adapter if "lora_A" in key]:
        name = key.removeprefix("llm.base_model.model.").partition(".lora_A")[0]
        change = adapter[key.replace("lora_A", "lora_B")] @ adapter[key]
        weights[f"{name}.weight"] += ALPHA / RANK * change
    return llm.eval()


def the_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


# reading


def test_the_settings_are_those_of_the_files_and_the_authors(read, language_model):
    config = read().config
    assert config.language_model == language_model
    assert (config.style, config.mapper) == ("authors", "two_layer")
    assert config.mapper_width == WIDTH
    lora = (config.lora_r, config.lora_alpha, config.lora_dropout)
    assert lora == (RANK, ALPHA, 0.05)
    assert config.lora_targets == ("q_proj", "v_proj")


@pytest.mark.parametrize("layout", ["safetensors", None])
def test_each_layout_of_the_adapter_gives_the_same_tensors(read, layout):
    mapper = "model.pt" if layout else "model_lora.pt"
    released = read(mapper=mapper, lora=layout)
    the_same(released.adapter, read().adapter)
    the_same(released.mapper, read().mapper)
    assert released.config.lora_r == RANK
    # model.pt does not say it: the authors' own value stands in
    assert released.config.lora_alpha == (ALPHA if layout else 32)


def test_a_wrapper_and_half_precision_change_no_name(files, read):
    whole = mapper_state() | adapter_state()
    wrapped = {f"module.{key}": tensor.half() for key, tensor in whole.items()}
    torch.save(wrapped, files / "half.pt")
    adapter = read(mapper="half.pt", lora=None).adapter
    assert {tensor.dtype for tensor in adapter.values()} == {torch.float32}
    assert adapter.keys() == read().adapter.keys()


# what comes of it


def test_the_folder_holds_all_but_the_language_model(imported):
    files = {str(p.relative_to(imported)) for p in imported.rglob("*") if p.is_file()}
    assert files >= {
        *("config.json", "mapper.safetensors", "support.safetensors"),
        *("adapter/adapter_config.json", "adapter/adapter_model.safetensors"),
        *("clap/config.json", "clap/model.safetensors", "datastore/captions.parquet"),
    }
    assert not [name for name in files if name.endswith((".pt", ".bin"))]


def test_the_folder_may_be_moved(imported, model, tmp_path):
    (tmp_path / "elsewhere").symlink_to(imported)
    moved = DRCap.from_pretrained(tmp_path / "elsewhere", device="cpu")
    assert moved.clap.fingerprint == model.clap.fingerprint
    assert moved.config.clap == str(tmp_path / "elsewhere" / "clap")


def test_the_clap_model_embeds_as_the_authors_file_does(model, clap, recording):
    assert model.clap.fingerprint == clap.fingerprint
    assert model.clap.temperature == clap.temperature
    both = [each.encode_text(CAPTIONS[:3]) for each in (model.clap, clap)]
    assert torch.equal(*both)
    both = [each.encode_audio([recording[1]]) for each in (model.clap, clap)]
    assert torch.equal(*both)


def test_the_mapper_is_the_authors_two_layers_by_hand(model):
    weights, rows = mapper_state(), support_rows()
    first, second = (f"encoder_projector.linear{number}." for number in (1, 2))
    inner = rows @ weights[first + "weight"].T + weights[first + "bias"]
    by_hand = inner.relu() @ weights[second + "weight"].T + weights[second + "bias"]
    torch.testing.assert_close(model.captioner.mapper(rows), by_hand)


@torch.no_grad()
def test_the_adapter_is_lora_by_hand(model, adapted, language_model):
    ids = torch.arange(3, 20)[None]
    logits = model.captioner.causal_lm()(ids).logits
    torch.testing.assert_close(logits, adapted(ids).logits, atol=1e-4, rtol=1e-4)
    plain = AutoModelForCausalLM.from_pretrained(language_model, dtype=torch.float32)
    assert (plain(ids).logits - logits).abs().max() > 0.1


def test_the_support_and_the_captions_are_the_folders_own(model):
    assert torch.equal(torch.from_numpy(model.support), support_rows())
    assert model.datastore.captions == CAPTIONS


def test_generation_is_the_authors(model):
    generation = model.config.generation
    assert (generation.num_beams, generation.max_new_tokens) == (4, 200)
    assert generation.batch_size == 4


@torch.no_grad()
def test_a_recording_is_captioned_as_by_hand(model, adapted, recording, language_model):
    path, first_seconds = recording
    result = model.caption(path, num_beams=1)
    audio = model.clap.encode_audio([first_seconds])
    similar = [match.caption for match in model.datastore.search(audio, 3)[0]]
    assert [match.caption for match in result.similar_captions] == similar
    embedding = project(audio, support_rows(), model.clap.temperature)
    tokenizer = AutoTokenizer.from_pretrained(language_model)
    encode = partial(tokenizer.encode, add_special_tokens=False)
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    captions = encode(" ".join(f"{text}." for text in similar))
    request = encode("USER: Describe the audio you hear. \n ASSISTANT:")
    table = adapted.get_input_embeddings()
    before = table(torch.tensor([bos, *captions, eos]))
    soft, after = (
        model.captioner.mapper(embedding),
        table(torch.tensor([bos, *request])),
    )
    inputs, tokens = torch.cat([before, soft, after])[None], []
    while len(tokens) < 200:
        tokens.append(int(adapted(inputs_embeds=inputs).logits[0, -1].argmax()))
        if tokens[-1] == eos:
            break
        inputs = torch.cat([inputs, table(torch.tensor([[tokens[-1]]]))], dim=1)
    caption = tokenizer.decode(tokens, skip_special_tokens=True)
    assert result.caption == " ".join(caption.split())
    assert result.caption


def test_a_recording_and_its_samples_are_cut_alike(model, recording):
    path, first_seconds = recording
    expected = model.clap.encode_audio([first_seconds])[0]
    mono = soundfile.read(path, dtype="float32")[0][:, 0]
    torch.testing.assert_close(model.embed(path), expected)
    torch.testing.assert_close(model.embed(mono), expected)


def test_an_imported_model_is_saved_with_its_captions(model, tmp_path, recording):
    model.save_pretrained(tmp_path / "saved")
    again = DRCap.from_pretrained(tmp_path / "saved", device="cpu")
    assert again.config == model.config  # the CLAP model stays where it is
    assert np.array_equal(again.support, model.support)
    result = again.caption(recording[0], num_beams=1)
    assert result.caption == model.caption(recording[0], num_beams=1).caption


# what is no such file


def refused(read, *parts, error=CheckpointError, **files):
    with pytest.raises(error) as caught:
        read(**files)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, message


def test_missing_and_unexpected_keys_of_the_mapper_are_listed(files, read):
    odd = mapper_state() | {"surprise": torch.zeros(1)}
    del odd["encoder_projector.linear2.bias"]
    torch.save(odd, files / "odd.pt")
    expected = (
        "odd.pt: not the authors' model.pt; missing keys: "
        "encoder_projector.linear2.bias; unexpected keys: surprise"
    )
    refused(read, expected, mapper="odd.pt")


def test_missing_and_unexpected_keys_of_the_adapter_are_listed(files, read):
    layer = "base_model.model.model.layers.1.self_attn."
    folder = write_adapter(files / "odd")
    tensors = torch.load(folder / "adapter_model.bin")
    tensors[layer + "o_proj.lora_A.weight"] = torch.zeros(RANK, 32)
    del tensors[layer + "v_proj.lora_B.weight"]
    torch.save(tensors, folder / "adapter_model.bin")
    refused(
        read,
        f"missing keys: {layer}v_proj.lora_B.weight",
        f"unexpected keys: {layer}o_proj.lora_A.weight",
        lora="odd",
    )


def test_an_adapter_of_fewer_layers_or_none_lacks_keys(files, read):
    tensors = mapper_state() | adapter_state()
    fewer = {key: each for key, each in tensors.items() if "layers.1" not in key}
    torch.save(fewer, files / "fewer.pt")
    keys = "missing keys: base_model.model.model.layers.{}.self_attn.q_proj.lora_A"
    refused(read, keys.format(1), mapper="fewer.pt", lora=None)
    refused(read, "model.pt: not the authors' adapter", keys.format(0), lora=None)


def test_two_adapters_are_one_too_many(read):
    refused(read, "holds an adapter itself", "leave out --lora", mapper="model_lora.pt")


def test_a_truncated_file_is_named(files, read):
    def cut(path):
        path.write_bytes(path.read_bytes()[:-40])

    for part, name in (("mapper", "model.pt"), ("support", "support.pt")):
        shutil.copy(files / name, files / "short.pt")
        cut(files / "short.pt")
        refused(read, "short.pt: damaged", "copy it again", **{part: "short.pt"})
    for name in ("adapter_model.bin", "adapter_model.safetensors"):
        cut(write_adapter(files / f"short-{name}", name) / name)
        refused(read, f"{name}: damaged", "copy it again", lora=f"short-{name}")


@pytest.mark.parametrize("part", ["mapper", "support"])
def test_objects_that_could_run_code_are_refused(files, read, part):
    torch.save({"encoder_projector.linear1.weight": Path("a")}, files / "object.pt")
    refused(
        read, "object.pt: ", "holds other objects", "run code", **{part: "object.pt"}
    )


def test_a_value_that_is_no_tensor_is_named(files, read):
    odd = mapper_state() | {"encoder_projector.linear1.bias": [1.0]}
    torch.save(odd, files / "list.pt")
    expected = "encoder_projector.linear1.bias is not a tensor; expected tensors"
    refused(read, expected, mapper="list.pt")


def test_tensors_of_another_size_are_named(files, read):
    torch.save(mapper_state(dim=25), files / "wide.pt")
    expected = "encoder_projector.linear1.weight is (20, 25) in place of (20, 24)"
    refused(read, "wide.pt: ", expected, mapper="wide.pt")
    write_adapter(files / "rank", r=8)
    refused(read, "q_proj.lora_A.weight is (4, 32) in place of (8, 32)", lora="rank")


def test_a_support_is_rows_of_unit_norm(files, read):
    torch.save(3 * support_rows(), files / "long.pt")
    for name in ("long.pt", "model.pt"):
        message = f"{name}: expected a tensor (N, D) of rows of unit norm"
        refused(read, message, support=name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_dora": True}, "use_dora is True; only plain LoRA"),
        ({"bias": "all"}, "bias is 'all'; only plain LoRA"),
        ({"rank_pattern": {"q_proj": 2}}, "rank_pattern is {'q_proj': 2}"),
        ({"peft_type": "PREFIX_TUNING"}, "peft_type is 'PREFIX_TUNING'"),
        ({"r": None}, "not plain LoRA: lora_r must be a valid integer; got None"),
        ({"target_modules": "all-linear"}, "lora_targets must be a valid tuple"),
        ({"target_modules": ["c_attn"]}, "does not fit the language model"),
    ],
)
def test_settings_that_mean_something_else_are_refused(files, read, changes, message):
    folder = files / "-".join([*changes, *map(str, changes.values())])[:40]
    write_adapter(folder, **changes)
    refused(read, message, lora=folder.name)


def test_a_language_model_that_is_not_here_is_named(files, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="give --language-model its own"):
        read_released(
            files / "model.pt", files / "support.pt", files / "bin", "nobody/no-model"
        )


@pytest.fixture
def take_over(files, clap, language_model, monkeypatch):
    """Import the released files with a CLAP model that is loaded already."""
    monkeypatch.setattr(authors, "load_authors", lambda *_, **__: clap)

    def take_over(output):
        names = ("best_model.pt", "model_lora.pt", "support.pt")
        paths = [files / name for name in names]
        return import_model(*paths, output, language_model=language_model)

    return take_over


def test_a_clap_of_another_width_writes_nothing(take_over, clap, tmp_path, monkeypatch):
    monkeypatch.setattr(clap, "dim", 25)
    with pytest.raises(CheckpointError, match="embeds in 25 dimensions, mapper and"):
        take_over(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_no_part_of_a_folder(take_over, clap, tmp_path, monkeypatch):
    def fail(folder):
        raise AssetError("no tokenizer")

    monkeypatch.setattr(clap, "save", fail)
    with pytest.raises(AssetError):
        take_over(tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_part_of_the_folder_that_was_taken_away_or_damaged_is_named(
    imported, tmp_path
):
    shutil.copytree(imported, tmp_path / "model")
    path = tmp_path / "model" / "support.safetensors"
    assert set(load_file(path)) == {"embeddings"}
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="support.safetensors: damaged"):
        DRCap.from_pretrained(tmp_path / "model", device="cpu")
    shutil.rmtree(tmp_path / "model" / "clap")
    with pytest.raises(ConfigError, match="clap: unknown model 'clap'"):
        DRCap.from_pretrained(tmp_path / "model", device="cpu")
