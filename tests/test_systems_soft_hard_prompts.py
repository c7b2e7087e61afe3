"""The hard prompt names the right classes; augmentation is of training alone."""

from dataclasses import replace

import pytest
import torch
from doubles import TOY_CAPTIONS
from doubles_systems import toy_config, toy_events, toy_space

from drcap.systems.soft_hard_prompts import (
    NeighbourExamples,
    SoftHardCaptioner,
    hard_prompt,
)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))


@pytest.fixture
def make(language_model):
    def made(**settings):
        config = toy_config(language_model)
        own = replace(config.baselines.soft_hard_prompts, **settings)
        captioner = SoftHardCaptioner.create(
            32, config.captioner.captioner, torch.float32, own
        )
        space = toy_space()
        shared = space.datastore, captioner.prompts, toy_events(space), own
        return captioner, NeighbourExamples(TOY_CAPTIONS, *shared)

    return made


def test_without_augmentation_the_events_nearest_to_the_caption_are_named(make):
    _, examples = make(neighbours=1, mask_probability=0.0)
    batch = next(examples.in_order(60, seed=1))
    torch.testing.assert_close(batch.embeddings, examples.embeddings)
    for index, names in enumerate(examples.similar(range(60), seed=0)):
        cosines = examples.embeddings[index] @ examples.events.embeddings.T
        best = cosines.argsort(descending=True)[:2].tolist()
        assert names == [examples.events.names[column] for column in best]
    dogs = [row for row, text in enumerate(TOY_CAPTIONS) if "dog" in text]
    named = ["Dog" in names for names in examples.similar(dogs, seed=0)]
    assert sum(named) / len(named) > 2 * 2 / 7  # twice as often as by chance


def test_the_prompt_is_the_sentence_then_the_soft_tokens(make):
    assert hard_prompt(["Dog", "Rain"]) == "There are dog, rain in this audio."
    assert hard_prompt([]) == "There are something in this audio."
    captioner, _ = make()
    prompt = captioner.prompts.prompt(["Dog"])
    sentence = captioner.tokenizer(hard_prompt(["Dog"]), add_special_tokens=False)
    assert prompt.ids[1 : prompt.slot] == sentence["input_ids"]
    assert len(prompt.ids) == prompt.slot + 3
    ids = torch.tensor([captioner.prompts.prompt([]).ids] * 2)
    slot = captioner.prompts.prompt([]).slot
    rows = torch.randn(2, 32)
    with torch.no_grad():
        inputs = captioner.embed(ids, torch.tensor([slot, slot]), rows)
        soft = captioner.mapper(rows).view(2, 3, -1)
    torch.testing.assert_close(inputs[:, slot : slot + 3], soft)


def test_a_replacement_is_one_of_the_nearest_captions(make):
    _, examples = make(neighbours=4, noise_variance=0.0)
    near = (examples.embeddings @ examples.embeddings.T).topk(4, dim=1)
    replaced = torch.cat([examples.inputs(range(60), seed) for seed in range(5)])
    likeness = (replaced * examples.embeddings.repeat(5, 1)).sum(1)
    assert (likeness >= near.values.min(dim=1).values.repeat(5) - 1e-5).all()
    assert (likeness < 0.999).any() and (likeness > 0.999).any()


def test_events_are_dropped_about_as_often_as_asked(make):
    _, examples = make(mask_probability=0.4)
    kept = [len(n) for seed in range(20) for n in examples.similar(range(60), seed)]
    assert sum(kept) / (2 * len(kept)) == pytest.approx(0.6, abs=0.04)
