"""ZerAuCap is the plain language model, guided by the sound; sound events."""

from dataclasses import replace

import pytest
import torch
from doubles_systems import EVENTS, toy_config, toy_events, toy_space
from transformers import AutoModelForCausalLM

from drcap.systems.zeraucap import SoundEvents, ZerAuCap, keyword_prompt


@pytest.fixture
def zeraucap(language_model, tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    space = toy_space()
    system = ZerAuCap(space)
    system.events = toy_events(space)
    system.load(tmp_path, toy_config(language_model))
    return system


PROMPTS = ["A dog is heard nearby", "Rain"]


def test_keywords_are_named_with_their_article():
    assert keyword_prompt(["Dog", "Engine"]) == (
        "Objects: dog, and an engine. This is a sound of"
    )
    assert keyword_prompt(["Dog"]) == "Objects: a dog. This is a sound of"


def test_at_weight_zero_it_is_the_plain_language_model(zeraucap, language_model):
    zeraucap.config = replace(zeraucap.config, weight=0.0, max_new_tokens=5)
    written = zeraucap.decode(PROMPTS, torch.randn(2, 32))
    plain = AutoModelForCausalLM.from_pretrained(language_model, dtype=torch.float32)
    for prompt, caption in zip(PROMPTS, written, strict=True):
        ids = zeraucap.tokenizer(prompt, return_tensors="pt")["input_ids"]
        tokens = plain.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
        )
        text = zeraucap.tokenizer.decode(tokens[0, ids.shape[1] :], True)
        until = text.split(" .")[0] + (" ." if " ." in text else "")
        assert caption == " ".join(until.split())


def test_the_score_is_the_formulas(zeraucap):
    torch.manual_seed(0)
    likely = torch.randn(2, 200).softmax(1)
    audio = torch.nn.functional.normalize(torch.randn(2, 32), dim=1)
    zeraucap.config = replace(zeraucap.config, weight=2.0, candidates=5, sharpness=7.0)
    chosen = zeraucap.choose(likely, [[5] * 9] * 2, audio)[:, 0]
    for row in range(2):
        chances, tokens = likely[row].topk(5)
        before = [5] * 9
        texts = [zeraucap._text([*before, token]) for token in tokens.tolist()]
        cosines = zeraucap.space.clap.encode_text(texts) @ audio[row]
        scores = chances + 2.0 * (7.0 * cosines).softmax(0)
        assert chosen[row] == tokens[scores.argmax()]


def test_an_end_is_discouraged_at_first(zeraucap):
    end = zeraucap.tokenizer.eos_token_id
    word = zeraucap.tokenizer("dog")["input_ids"][-1]
    likely = torch.zeros(1, 200)
    likely[0, [end, word]] = torch.tensor([0.9, 0.1])
    audio = torch.zeros(1, 32)  # all texts are as near
    zeraucap.config = replace(zeraucap.config, candidates=2)
    assert zeraucap.choose(likely, [[]], audio).tolist() == [[word]]
    assert zeraucap.choose(likely, [[word] * 9], audio).tolist() == [[end]]


def test_each_text_is_embedded_once(zeraucap):
    zeraucap._embed(["a dog", "a cat", "a dog"])
    before = zeraucap.space.clap.encoded_captions
    zeraucap._embed(["a cat", "a dog"])
    assert zeraucap.space.clap.encoded_captions == before


def test_sound_events_are_the_nearest_by_cosine_and_posteriors_a_softmax():
    events = toy_events(toy_space())
    rows = events.space.clap.encode_text(["a dog in the rain", "an engine"])
    assert set(events.nearest(rows, 2)[0]) == {"Dog", "Rain"}
    assert events.nearest(rows, 1)[1] == ["Engine"]
    posteriors = events.posteriors(rows)
    assert posteriors.shape == (2, len(EVENTS))
    expected = (rows @ events.embeddings.T / 0.05).softmax(1)
    torch.testing.assert_close(posteriors, expected)


@pytest.mark.slow
def test_the_sound_events_are_audiosets():
    events = SoundEvents(toy_space())
    assert len(events.names) == 521 and "Dog" in events.names
