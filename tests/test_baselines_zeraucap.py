"""ZerAuCap is the plain language model but for what it hears."""

from dataclasses import replace

import pytest
import torch
from doubles_baselines import toy_config, toy_events, toy_space
from transformers import AutoModelForCausalLM

from drcap.baselines.zeraucap import ZerAuCap, keyword_prompt


@pytest.fixture
def zeraucap(language_model, tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    space = toy_space()
    system = ZerAuCap(space, toy_events(space))
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
    said = zeraucap.decode(PROMPTS, torch.randn(2, 32))
    plain = AutoModelForCausalLM.from_pretrained(language_model, dtype=torch.float32)
    for prompt, caption in zip(PROMPTS, said, strict=True):
        ids = zeraucap.tokenizer(prompt, return_tensors="pt")["input_ids"]
        found = plain.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, do_sample=False
        )
        text = zeraucap.tokenizer.decode(found[0, ids.shape[1] :], True)
        until = text.split(" .")[0] + (" ." if " ." in text else "")
        assert caption == " ".join(until.split())


def test_the_score_is_the_formulas(zeraucap):
    torch.manual_seed(0)
    likely = torch.randn(2, 200).softmax(1)
    audio = torch.nn.functional.normalize(torch.randn(2, 32), dim=1)
    config = replace(zeraucap.config, weight=2.0, candidates=5, sharpness=7.0)
    chosen = zeraucap.choose(likely, [[], []], audio, 10, config)
    for row in range(2):
        chances, tokens = likely[row].topk(5)
        texts = [zeraucap.tokenizer.decode([t], True) for t in tokens.tolist()]
        cosines = zeraucap.space.clap.encode_text(texts) @ audio[row]
        scores = chances + 2.0 * (7.0 * cosines).softmax(0)
        assert chosen[row] == tokens[scores.argmax()]


def test_with_a_large_weight_the_text_nearest_to_the_sound_is_taken(zeraucap):
    words = zeraucap.tokenizer(" ".join(["dog", "cat"]))["input_ids"][-2:]
    likely = torch.full((1, 200), 1e-9)
    likely[0, words] = torch.tensor([0.1, 0.9])
    config = replace(zeraucap.config, weight=100.0, candidates=2)
    dog = zeraucap.space.clap.encode_text(["dog"])
    assert zeraucap.choose(likely, [[]], dog, 10, config) == [words[0]]


def test_an_end_is_discouraged_at_first(zeraucap):
    end = zeraucap.tokenizer.eos_token_id
    word = zeraucap.tokenizer("dog")["input_ids"][-1]
    likely = torch.zeros(1, 200)
    likely[0, [end, word]] = torch.tensor([0.9, 0.1])
    audio = torch.zeros(1, 32)  # hears nothing
    config = replace(zeraucap.config, candidates=2)
    assert zeraucap.choose(likely, [[]], audio, 1, config) == [word]
    assert zeraucap.choose(likely, [[]], audio, 10, config) == [end]


def test_each_text_is_embedded_once(zeraucap):
    zeraucap._embed(["a dog", "a cat", "a dog"])
    before = zeraucap.space.clap.encoded_captions
    zeraucap._embed(["a cat", "a dog"])
    assert zeraucap.space.clap.encoded_captions == before
