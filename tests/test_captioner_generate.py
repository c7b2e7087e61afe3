from collections import Counter

import pytest
import torch
from doubles import TOY_CAPTIONS
from torch.nn import functional as F

from drcap.captioner.generate import generate, generate_beams
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import Prompt, PromptBuilder, pad
from drcap.config import CaptionerConfig, GenerationConfig

COUNT, DIM = 5, 32
SIMILAR = [TOY_CAPTIONS[3 * row : 3 * row + row % 4] for row in range(COUNT)]


@pytest.fixture(scope="module")
def captioner(language_model):
    torch.manual_seed(0)
    captioner = Captioner.create(DIM, CaptionerConfig(language_model), torch.float32)
    for name, parameter in captioner.trainable().items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():  # so that captions end, some early and some late
        head = captioner.causal_lm().lm_head.weight
        head[captioner.prompts.end_id] *= 3
    return captioner.eval()


@pytest.fixture(scope="module")
def embeddings():
    rows = torch.randn(COUNT, DIM, generator=torch.Generator().manual_seed(1))
    return 2 * F.normalize(rows, dim=-1)


def settings(**changes):
    return GenerationConfig(**{"max_new_tokens": 8} | changes)


def greedily(captioner, embedding, texts):
    """Decode one prompt by arg max, token by token, without padding or cache."""
    prompt = captioner.prompts.prompt(texts)
    ids, slots = torch.tensor([prompt.ids]), torch.tensor([prompt.slot])
    inputs = captioner.embed(ids, slots, embedding[None])
    tokens = []
    while len(tokens) < 8:
        logits = captioner.causal_lm()(inputs_embeds=inputs).logits[0, -1]
        tokens.append(logits.argmax())
        if tokens[-1] == captioner.prompts.end_id:
            break
        next_ = captioner.llm.get_input_embeddings()(tokens[-1])
        inputs = torch.cat([inputs, next_[None, None]], dim=1)
    return captioner.tokenizer.decode(tokens, skip_special_tokens=True)


@torch.no_grad()
def test_one_beam_is_arg_max_token_by_token(captioner, embeddings):
    captions = generate(captioner, embeddings, SIMILAR, settings(num_beams=1))
    lengths = {len(caption.split()) for caption in captions}
    assert len(lengths) > 2  # some ended by themselves
    for caption, embedding, texts in zip(captions, embeddings, SIMILAR, strict=True):
        assert caption == greedily(captioner, embedding, texts)


class SoftLast(PromptBuilder):
    def prompt(self, similar_captions):
        return Prompt([*self.start, self.end_id], 1)


@torch.no_grad()
def test_a_prompt_may_end_with_the_soft_token(captioner, embeddings, monkeypatch):
    soft_last = SoftLast(captioner.tokenizer, captioner.config)
    monkeypatch.setattr(captioner, "prompts", soft_last)
    captions = generate(captioner, embeddings, [[]] * COUNT, settings(num_beams=1))
    assert captions == [greedily(captioner, row, []) for row in embeddings]
    assert len(set(captions)) > 1


def test_no_words_come_twice_in_a_row_if_so_configured(captioner, embeddings):
    def pairs(config):
        captions = generate(captioner, embeddings, SIMILAR, config)
        for words in map(str.split, captions):
            neighbours = list(zip(words, words[1:], strict=False))
            yield len(neighbours) - len(set(neighbours))

    assert sum(pairs(settings(max_new_tokens=24))) > 0
    assert sum(pairs(settings(max_new_tokens=24, no_repeat_ngram=2))) == 0


@pytest.mark.parametrize(
    "search", [{"num_beams": 1}, {"num_beams": 4}, {"sample": True, "top_p": 0.9}]
)
def test_a_caption_does_not_change_with_its_neighbours(captioner, embeddings, search):
    config = settings(**search)
    alone = [
        generate(captioner, embeddings[[row]], [SIMILAR[row]], config)[0]
        for row in range(COUNT)
    ]
    assert len(set(alone)) > COUNT // 2
    for size in (2, COUNT):
        config = settings(**search, batch_size=size)
        assert generate(captioner, embeddings, SIMILAR, config) == alone
    backwards = generate(captioner, embeddings.flip(0), SIMILAR[::-1], config)
    assert backwards == alone[::-1]


@pytest.mark.parametrize(
    "changes",
    [
        {"length_penalty": 0.8, "no_repeat_ngram": 2},
        {"length_penalty": 1.0, "max_new_tokens": 8},
        {"length_penalty": 1.2, "num_beams": 3, "no_repeat_ngram": 3},
        {"length_penalty": -0.5, "num_beams": 2},
    ],
)
@torch.inference_mode()
def test_beams_are_those_of_transformers_that_drop_no_clip(
    captioner, embeddings, changes
):
    config = settings(**{"max_new_tokens": 16, "batch_size": COUNT} | changes)
    model, batches = captioner.causal_lm(), []
    watch = model.register_forward_hook(
        lambda *call: batches.append(len(call[-1].logits))
    )
    found = generate_beams(captioner, embeddings, SIMILAR, config)
    watch.remove()
    assert batches[-1] < batches[1]  # clips left before the last was done
    end_id, prompts = captioner.prompts.end_id, map(captioner.prompts.prompt, SIMILAR)
    prompts = list(prompts)
    ids, mask = pad([prompt.ids for prompt in prompts], end_id, "left")
    slots = mask.argmax(1) + torch.tensor([prompt.slot for prompt in prompts])
    tokens = model.generate(
        inputs_embeds=captioner.embed(ids, slots, embeddings),
        attention_mask=mask,
        num_beams=config.num_beams,
        num_return_sequences=config.num_beams,
        length_penalty=config.length_penalty,
        no_repeat_ngram_size=config.no_repeat_ngram,
        max_new_tokens=config.max_new_tokens,
        do_sample=False,
        eos_token_id=end_id,
        pad_token_id=end_id,
    )
    texts = captioner.tokenizer.batch_decode(tokens, skip_special_tokens=True)
    texts = [" ".join(text.split()) for text in texts]
    assert sum(found, []) == texts


def test_more_beams_find_captions_at_least_as_likely(captioner, embeddings):
    # without a length penalty's help: both searches maximise the same sum
    config = {"max_new_tokens": 3, "length_penalty": 0.0}

    @torch.no_grad()
    def log_likelihood(caption, embedding, texts):
        prompt = captioner.prompts.prompt(texts)
        target = captioner.prompts.target(caption)[:3]
        loss = captioner.loss(embedding[None], [prompt], [target])
        return -loss.item() * len(target)

    greedy, beams = (
        generate(captioner, embeddings, SIMILAR, settings(num_beams=count, **config))
        for count in (1, 8)
    )
    totals = [
        sum(map(log_likelihood, captions, embeddings, SIMILAR))
        for captions in (greedy, beams)
    ]
    assert totals[1] > totals[0]


def test_a_draw_is_from_the_probabilities_of_temperature_and_top_p(
    captioner, embeddings
):
    draws = 3_000
    config = settings(
        **{"sample": True, "temperature": 0.8, "top_p": 0.7, "choice": "mbr"},
        **{"num_beams": draws, "max_new_tokens": 1},
    )
    [texts] = generate_beams(captioner, embeddings[:1], [[]], config)
    prompt = captioner.prompts.prompt([])
    ids, slots = torch.tensor([prompt.ids]), torch.tensor([prompt.slot])
    with torch.no_grad():
        inputs = captioner.embed(ids, slots, embeddings[:1])
        logits = captioner.causal_lm()(inputs_embeds=inputs).logits[0, -1]
    shares, tokens = (logits.double() / 0.8).softmax(0).sort(descending=True)
    kept = int((shares.cumsum(0) < 0.7).sum()) + 1
    shares = shares[:kept] / shares[:kept].sum()
    expected = Counter()  # special tokens are all ""
    for token, share in zip(tokens[:kept].tolist(), shares.tolist(), strict=True):
        expected[captioner.tokenizer.decode(token, skip_special_tokens=True)] += share
    assert set(texts) <= set(expected) and kept > 2
    for word, share in expected.items():
        spread = (share * (1 - share) / draws) ** 0.5
        assert abs(texts.count(word) / draws - share) < 5 * spread


def test_draws_repeat_with_their_seed_alone(captioner, embeddings):
    def drawn(**changes):
        config = settings(sample=True, **changes)
        return generate(captioner, embeddings, SIMILAR, config)

    assert drawn() == drawn() != drawn(seed=1)
    greedy = generate(captioner, embeddings, SIMILAR, settings(num_beams=1))
    assert drawn(temperature=1e-4) == drawn(top_p=1e-6) == greedy
    candidates = settings(sample=True, choice="mbr", num_beams=3)
    several = generate_beams(captioner, embeddings, SIMILAR, candidates)
    assert [texts[0] for texts in several] == drawn()
    assert all(len(set(texts)) == 3 for texts in several)


def test_no_prompts_give_no_captions(captioner, embeddings):
    assert generate(captioner, embeddings[:0], [], settings()) == []
