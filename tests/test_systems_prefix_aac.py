"""Prefix AAC: two prefixes, a frozen model, a head of the training captions' words."""

import pytest
import torch
from doubles_systems import fitted_system

from drcap.captioner.model import Captioner
from drcap.config import PrefixAACConfig
from drcap.data.clip import captions_of
from drcap.systems.prefix_aac import TwoPrefixes, WordHead


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, language_model):
    folder = tmp_path_factory.mktemp("prefix")
    with fitted_system("prefix_aac", folder, language_model) as everything:
        yield everything


def test_a_row_holds_frames_and_posteriors(fitted):
    system, _, batch, _ = fitted
    rows = system.inputs(batch)
    count = rows.shape[1] - 7
    frames = system.space.frames(batch.clips)
    torch.testing.assert_close(rows[:, :count].view(frames.shape), frames)
    torch.testing.assert_close(rows[:, count:].sum(1), torch.ones(3))
    cosines = system.space.audio(batch.clips) @ system.events.embeddings.T
    expected = (cosines / system.space.clap.temperature).softmax(1)
    torch.testing.assert_close(rows[:, count:], expected)


def test_there_are_as_many_soft_tokens_as_both_prefixes_have(fitted):
    system, _, batch, _ = fitted
    captioner = system.captioner
    soft = captioner.mapper(system.inputs(batch))
    prompt = captioner.prompts.prompt([])
    assert soft.shape[1] == 3 + 2  # 7 classes in groups of 4
    assert len(prompt.ids) - prompt.slot == 5


def test_either_prefix_reads_its_own_part_alone():
    config = PrefixAACConfig(temporal=3, label_group=4, layers=1, heads=2)
    both = TwoPrefixes((6, 5), 7, 16, config, 1.0).eval()
    both.words.requires_grad_(False).weight.zero_()  # which adds both parts to each
    rows = torch.randn(1, 37)
    other_frames, other_labels = rows.clone(), rows.clone()
    other_frames[:, :30] += 1
    other_labels[:, 30:] += 1
    with torch.no_grad():
        plain, frames, labels = both(rows), both(other_frames), both(other_labels)
    assert not torch.allclose(plain[:, :3], frames[:, :3])
    torch.testing.assert_close(plain[:, 3:], frames[:, 3:])
    torch.testing.assert_close(plain[:, :3], labels[:, :3])
    assert not torch.allclose(plain[:, 3:], labels[:, 3:])


def test_the_language_model_is_frozen_and_the_head_is_not(fitted, language_model):
    system, _, _, config = fitted
    plain = Captioner.create(4, system.recipe(config).captioner, torch.float32)
    kept = dict(plain.llm.model.named_parameters())
    for name, weight in system.captioner.llm.model.named_parameters():
        torch.testing.assert_close(weight, kept[name])
    head = system.captioner.llm.get_output_embeddings()
    table = system.captioner.llm.get_input_embeddings().weight
    assert not torch.allclose(head.weight, table[head.tokens], atol=1e-6)


def test_only_words_of_the_training_captions_can_be_said(fitted):
    system, training_set, batch, _ = fitted
    prompts = system.captioner.prompts
    captions = [*training_set.captions, *captions_of(training_set.validation)]
    taught = {token for text in captions for token in prompts.target(text)}
    head = system.captioner.llm.get_output_embeddings()
    assert set(head.tokens.tolist()) == taught
    logits = head(torch.randn(2, 32))
    assert torch.isfinite(logits).sum(1).tolist() == [len(taught)] * 2
    words = {word for text in captions for word in text.split()}
    for result in system.caption_clips(batch):
        assert set(result.caption.split()) <= words


def test_the_networks_have_a_learning_rate_of_their_own(fitted):
    captioner = fitted[0].captioner
    for parameter in captioner.parameters():
        parameter.requires_grad_(True)
    captioner.mapper_rate = 0.1
    groups = {group["rate"]: group["params"] for group in captioner.rates()}
    networks = {id(weight) for weight in captioner.mapper.parameters()}
    assert {id(weight) for weight in groups[0.1]} == networks
    assert not networks & {id(weight) for weight in groups[1.0]}
    captioner.requires_grad_(False)


def test_the_head_starts_as_the_language_models_own():
    table = torch.randn(9, 4)
    head = WordHead(torch.tensor([2, 5]), table)
    states = torch.randn(3, 4)
    torch.testing.assert_close(head(states)[:, [2, 5]], states @ table[[2, 5]].T)
    assert head(states)[:, 0].tolist() == [-torch.inf] * 3
