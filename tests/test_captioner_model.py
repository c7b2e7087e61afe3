import json

import pytest
import torch
from doubles import TOY_CAPTIONS
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from drcap import assets
from drcap.captioner.model import Captioner
from drcap.config import CaptionerConfig
from drcap.errors import CheckpointError

DIM = 32
SIMILAR = [TOY_CAPTIONS[:3], [], TOY_CAPTIONS[10:11]]
CAPTIONS = [TOY_CAPTIONS[5], TOY_CAPTIONS[36], TOY_CAPTIONS[20]]
MAPPER, ADAPTER = "mapper.safetensors", "adapter/adapter_model.safetensors"


@pytest.fixture
def config(language_model):
    return lambda **settings: CaptionerConfig(language_model, **settings)


@pytest.fixture
def create(config):
    """Create a captioner in evaluation mode, its adapter random unless untrained."""

    def create(trained=True, **settings):
        torch.manual_seed(0)
        captioner = Captioner.create(DIM, config(**settings), torch.float32).eval()
        for name, parameter in captioner.trainable().items():
            if trained and "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
        return captioner

    return create


@pytest.fixture
def saved(create, tmp_path):
    create().save(tmp_path)
    return tmp_path


@pytest.fixture
def load(config):
    def load(folder, dim=DIM, **settings):
        return Captioner.load(folder, dim, config(**settings), torch.float32)

    return load


def examples(captioner):
    embeddings = torch.randn(3, DIM, generator=torch.Generator().manual_seed(1))
    prompts = [captioner.prompts.prompt(texts) for texts in SIMILAR]
    targets = [captioner.prompts.target(text) for text in CAPTIONS]
    return F.normalize(embeddings, dim=-1), prompts, targets


def plain_losses(captioner):
    """Equation 2 one example at a time: all logits, no padding, a loss a caption."""
    model, losses = captioner.causal_lm(), []
    for embedding, prompt, target in zip(*examples(captioner), strict=True):
        ids = torch.tensor(prompt.ids + target)
        inputs = model.get_input_embeddings()(ids).clone()
        inputs[prompt.slot] = captioner.mapper(embedding)
        chances = model(inputs_embeds=inputs[None]).logits[0].log_softmax(-1)
        places = range(len(prompt.ids), len(ids))
        tokens = [-chances[place - 1, ids[place]] for place in places]
        losses.append(torch.stack(tokens).mean())
    return torch.stack(losses)


@pytest.mark.parametrize("place", ["after_captions", "first"])
@pytest.mark.parametrize("lora", [True, False])
def test_the_loss_is_the_mean_over_captions_of_their_tokens_mean(create, lora, place):
    captioner = create(lora=lora, audio_token=place)
    loss = captioner.loss(*examples(captioner))
    expected = plain_losses(captioner)
    assert len({len(text.split()) for text in CAPTIONS}) > 1  # or both means agree
    torch.testing.assert_close(loss, expected.mean(), atol=1e-5, rtol=0)


def test_the_embedding_matters_only_in_its_slot(create):
    captioner = create()
    embeddings, prompts, _ = examples(captioner)
    ids = torch.tensor([prompts[0].ids, prompts[0].ids])
    slots = torch.tensor([prompts[0].slot] * 2)
    embedded = captioner.embed(ids, slots, embeddings[:2])
    changed = (embedded[0] != embedded[1]).any(-1).nonzero().flatten()
    assert changed.tolist() == [prompts[0].slot]
    torch.testing.assert_close(
        embedded[1, prompts[0].slot], captioner.mapper(embeddings[1])
    )


def test_the_gradient_reaches_only_the_mapper_and_the_adapter(create):
    captioner = create()
    before = {n: p.clone() for n, p in captioner.named_parameters()}
    captioner.loss(*examples(captioner)).backward()
    reached = {n for n, p in captioner.named_parameters() if p.grad is not None}
    expected = {n for n in before if n.startswith("mapper.") or "lora_" in n}
    assert reached == expected == set(captioner.trainable())
    assert len(expected) == 2 + 2 * 2 * 2  # A and B of q_proj and v_proj, two layers
    assert all(p.grad.abs().sum() > 0 for p in captioner.trainable().values())


def test_without_lora_only_the_mapper_is_trained(create):
    assert set(create(lora=False).trainable()) == {"mapper.weight", "mapper.bias"}


def test_an_untrained_adapter_leaves_the_loss_as_it_is(create):
    bare, adapted = create(lora=False), create(trained=False)
    adapted.mapper.load_state_dict(bare.mapper.state_dict())
    loss = adapted.loss(*examples(adapted))
    torch.testing.assert_close(loss, bare.loss(*examples(bare)), atol=0, rtol=0)


def test_saving_writes_the_mapper_and_the_adapter_and_nothing_frozen(saved):
    files = {str(p.relative_to(saved)) for p in saved.rglob("*") if p.is_file()}
    assert files == {MAPPER, ADAPTER, "adapter/adapter_config.json"}
    assert set(load_file(saved / MAPPER)) == {"weight", "bias"}
    assert set(load_file(saved / ADAPTER)) == {
        f"base_model.model.model.layers.{layer}.self_attn.{target}.lora_{side}.weight"
        for layer in (0, 1)
        for target in ("q_proj", "v_proj")
        for side in "AB"
    }


def test_without_lora_no_adapter_is_saved(create, load, tmp_path):
    captioner = create(lora=False)
    captioner.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [MAPPER]
    loaded = load(tmp_path, lora=False)
    loss = loaded.loss(*examples(loaded))
    torch.testing.assert_close(loss, captioner.loss(*examples(captioner)))


def test_the_adapter_names_the_language_model_and_no_local_path(
    create, config, language_model, tmp_path, monkeypatch
):
    monkeypatch.setattr(assets, "resolve_model", lambda name: language_model)
    captioner = Captioner.create(DIM, CaptionerConfig("tiny"), torch.float32)
    captioner.save(tmp_path)
    text = (tmp_path / "adapter" / "adapter_config.json").read_text()
    assert json.loads(text)["base_model_name_or_path"] == "tiny"
    assert language_model not in text


def test_saving_twice_gives_the_same_bytes(create, tmp_path):
    contents = []
    for name in "ab":
        create().save(tmp_path / name)
        files = sorted((tmp_path / name).rglob("*.*"))
        contents.append([path.read_bytes() for path in files])
    assert contents[0] == contents[1]


def test_a_loaded_captioner_equals_the_saved_one(create, load, saved):
    captioner, loaded = create(), load(saved)
    expected = captioner.loss(*examples(captioner))
    assert not loaded.training and not loaded.trainable()
    loss = loaded.loss(*examples(loaded))  # its adapter is merged into the weights
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)
    loaded.llm.unmerge_adapter()
    loss = loaded.loss(*examples(loaded))
    torch.testing.assert_close(loss, expected, atol=1e-6, rtol=0)


def test_a_loaded_captioner_is_saved_again_as_it_was(load, saved, tmp_path):
    load(saved).save(tmp_path / "again")
    for name in (MAPPER, ADAPTER):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


@pytest.mark.parametrize("name", [MAPPER, ADAPTER])
def test_a_missing_or_damaged_file_is_named(load, saved, name):
    (saved / name).write_bytes((saved / name).read_bytes()[:-40])
    with pytest.raises(CheckpointError, match=f"{saved / name}: damaged"):
        load(saved)
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{saved / name}: missing"):
        load(saved)


MISFITS = [
    ({"dim": 16}, r"expected weight to be \(32, 16\), found \(32, 32\)"),
    ({"lora_r": 4}, rf"{ADAPTER}: .*lora_A.* \(4, 32\), f"),
    ({"lora_targets": ("q_proj",)}, "does not fit its models"),
]


@pytest.mark.parametrize(
    ("changes", "message"), MISFITS, ids=["CLAP", "rank", "layers"]
)
def test_a_checkpoint_of_another_shape_is_refused(load, saved, changes, message):
    with pytest.raises(CheckpointError, match=message):
        load(saved, **changes)


def test_an_adapter_that_lacks_a_layer_is_refused(load, saved):
    tensors = load_file(saved / ADAPTER)
    lacking = next(name for name in tensors if "v_proj" in name)
    del tensors[lacking]
    save_file(tensors, saved / ADAPTER)
    with pytest.raises(CheckpointError, match=f"expected {lacking} .* found nothing"):
        load(saved)
