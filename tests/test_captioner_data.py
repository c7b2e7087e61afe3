from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles import TOY_CAPTIONS, ToyCLAP
from torch.nn import functional as F
from transformers import AutoTokenizer

from drcap.captioner.data import (
    TextOnlyExamples,
    bucketed,
    hold_out,
    text_only_examples,
    with_noise,
)
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import PromptBuilder
from drcap.config import CaptionerConfig, Config, RetrievalConfig, override
from drcap.errors import ConfigError, DatastoreError
from drcap.retrieval import CaptionDatastore

CAPTIONS = [*TOY_CAPTIONS, *TOY_CAPTIONS[:6]]  # some of them twice
BAND = RetrievalConfig(sim_min=0.3, sim_max=0.8)


@pytest.fixture(scope="module")
def examples(language_model):
    """Make examples of the training side of a split, as a run does."""
    prompts = PromptBuilder(
        AutoTokenizer.from_pretrained(language_model), CaptionerConfig(language_model)
    )
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    kept, held_out = hold_out(CAPTIONS, 10, seed=0)

    def make(captions=kept, variance=0.0, **changes):
        read = captions, datastore, prompts, replace(BAND, **changes)
        return TextOnlyExamples(*read, held_out, variance)

    make.held_out = held_out
    return make


def test_no_text_is_both_trained_on_and_held_out():
    kept, held_out = hold_out(CAPTIONS, 10, seed=0)
    assert len(set(held_out)) == 10
    assert kept == [text for text in CAPTIONS if text not in held_out]
    assert len(kept) > len(set(kept))  # repeats stay on their side
    spaced = hold_out([f" {text} " for text in CAPTIONS] + TOY_CAPTIONS, 10, 0)
    assert spaced[1] == held_out and set(spaced[0]) == set(kept)


def test_the_split_follows_from_the_seed_and_takes_at_most_half():
    assert hold_out(CAPTIONS, 10, seed=3) == hold_out(CAPTIONS, 10, seed=3)
    assert hold_out(CAPTIONS, 10, seed=3)[1] != hold_out(CAPTIONS, 10, seed=4)[1]
    assert len(hold_out(TOY_CAPTIONS, 10_000, seed=0)[1]) == len(TOY_CAPTIONS) // 2


@pytest.mark.parametrize("captions", [[], ["A dog", "A dog ", " "]])
def test_one_distinct_caption_cannot_be_split(captions):
    with pytest.raises(ConfigError, match="training captions: . distinct; give two"):
        hold_out(captions, 1, seed=0)


def test_a_caption_that_the_datastore_lacks_is_named(examples):
    with pytest.raises(DatastoreError, match="lacks the caption 'A cow moos'"):
        examples([TOY_CAPTIONS[0], "A cow moos"])


def test_a_batch_holds_captions_of_like_length_and_each_at_most_once():
    random_ = np.random.default_rng(0)
    lengths = random_.integers(1, 100, size=1003)
    order = random_.permutation(1003)
    batches = list(bucketed(order, lengths.__getitem__, 8, seed=0))
    assert {len(batch) for batch in batches} == {8}
    assert len(batches) == 1003 // 8
    assert len({index for batch in batches for index in batch}) == 8 * len(batches)
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    rows = order[: 8 * len(batches)].reshape(-1, 8)
    assert spread < np.ptp(lengths[rows], axis=1).mean() / 10


def test_batches_come_in_an_order_that_does_not_follow_length():
    batches = list(bucketed(np.arange(256), int, 8, seed=0))
    starts = [batch[0] for batch in batches]
    assert starts != sorted(starts) and sorted(starts) == list(range(0, 256, 8))
    assert batches != list(bucketed(np.arange(256), int, 8, seed=1))


def prompts_of(batches):
    return [prompt.ids for batch in batches for prompt in batch.prompts]


def test_an_epoch_follows_from_the_seed_and_its_number(examples):
    made = examples()
    first = prompts_of(made.epoch(5, seed=0, epoch=0, limit=10))
    assert first == prompts_of(examples().epoch(5, seed=0, epoch=0, limit=10))
    assert first != prompts_of(made.epoch(5, seed=0, epoch=1, limit=10))
    assert first != prompts_of(made.epoch(5, seed=1, epoch=0, limit=10))
    assert len(list(made.epoch(5, seed=0, epoch=0, limit=4))) == 4


def test_an_example_keeps_its_caption_and_embedding_together(examples):
    made, clap = examples(), ToyCLAP()
    for batch in made.epoch(5, seed=0, epoch=0, limit=10):
        for embedding, target in zip(batch.embeddings, batch.targets, strict=True):
            text = made.prompts.tokenizer.decode(target, skip_special_tokens=True)
            torch.testing.assert_close(embedding, clap.encode_text([text])[0])


def test_selection_never_draws_the_caption_itself_or_a_held_out_one(examples):
    for made in (examples(), examples(examples.held_out)):
        similar = made.similar(range(len(made)), seed=0)
        assert sum(map(len, similar)) > 2 * len(made)
        for own, texts in zip(made.captions, similar, strict=True):
            assert own not in texts
            assert not set(texts) & set(examples.held_out)


def test_without_selection_the_nearest_captions_are_drawn_the_caption_itself_first(
    examples,
):
    made = examples(similarity_selection=False)
    similar = made.similar(range(len(made)), 0)
    for own, texts in zip(made.captions, similar, strict=True):
        assert texts[0] == own and len(texts) == 3
    made = examples(examples.held_out, similarity_selection=False)
    for texts in made.similar(range(10), seed=0):  # held-out captions stay hidden
        assert len(texts) == 3 and not set(texts) & set(examples.held_out)
    made = examples(similarity_selection=False, own_caption=False)
    for own, texts in zip(
        made.captions, made.similar(range(len(made)), 0), strict=True
    ):
        assert own not in texts and len(texts) == 3


def test_with_validation_captions_nothing_is_held_out(language_model):
    config = override(Config(), {"captioner": {"language_model": language_model}})
    config = override(config, {"training": {"validation_captions": 5}})
    captioner = Captioner.create(32, config.captioner, torch.float32)
    datastore = CaptionDatastore.build(CAPTIONS, ToyCLAP())
    others = CaptionDatastore.build([f"{t} today" for t in TOY_CAPTIONS], ToyCLAP())
    config = replace(config, retrieval=BAND)
    training, held_out = text_only_examples(
        *(captioner, CAPTIONS, datastore, config),
        **{"validation": others, "withheld": TOY_CAPTIONS[:20]},
    )
    assert training.captions == CAPTIONS
    assert len(held_out) == 5 and {*held_out.captions} <= {*others.captions}
    expected = others.embeddings_of(held_out.captions)
    np.testing.assert_array_equal(held_out.embeddings, expected)
    for part in (training, held_out):
        similar = {t for texts in part.similar(range(len(part)), 0) for t in texts}
        assert similar and not similar & {*TOY_CAPTIONS[:20]}


@pytest.mark.parametrize("changes", [{"enabled": False}, {"top_k": 0}])
def test_without_retrieval_prompts_hold_no_captions(examples, changes):
    assert examples(**changes).similar([0, 1], seed=0) == [[], []]


@pytest.mark.parametrize(("share", "expected"), [(0, 0), (0.25, 0.25), (1, 1)])
def test_a_share_of_the_prompts_is_left_without_captions(examples, share, expected):
    made = examples(withheld=share, sim_min=-1.0)
    indices = list(range(len(made))) * 20
    bare = np.mean([not texts for texts in made.similar(indices, seed=0)])
    assert bare == pytest.approx(expected, abs=0.04)


def test_the_noise_has_the_variance_asked_for():
    rows = F.normalize(torch.randn(200, 512), dim=1)
    moved = with_noise(rows, 1e-4, 0, range(200))
    # at this size the norm stays 1 to within the noise itself
    grown = (1 + 512 * 1e-4) ** 0.5
    assert (moved * grown - rows).var().item() == pytest.approx(1e-4, rel=0.05)
    torch.testing.assert_close(moved.norm(dim=1), torch.ones(200))
    torch.testing.assert_close(with_noise(rows, 0.0, 0, range(200)), rows)


def test_training_moves_embeddings_by_the_seed_and_validation_does_not(examples):
    made = examples(variance=0.01)
    plain, first = made.inputs([4, 7]), made.inputs([4, 7], seed=1)
    torch.testing.assert_close(plain, made.embeddings[[4, 7]])
    torch.testing.assert_close(first, made.inputs([4, 7], seed=1))
    for other in (plain, made.inputs([4, 7], seed=2)):
        assert not torch.allclose(first, other, atol=1e-3)
    validated = next(made.in_order(2, seed=3)).embeddings
    torch.testing.assert_close(validated, made.embeddings[:2])
    trained = next(made.epoch(2, seed=3, epoch=0, limit=1)).embeddings
    away = torch.cdist(trained, made.embeddings).min(dim=1).values
    assert (away > 1e-2).all()
