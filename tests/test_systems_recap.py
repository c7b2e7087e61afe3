"""RECAP reads frames by cross-attention; it never trains on a clip's own caption."""

from dataclasses import replace

import pytest
import torch
from doubles_experiments import clips_of
from doubles_systems import toy_config, toy_space, toy_training_set

from drcap.captioner.model import Captioner
from drcap.config import override
from drcap.systems.base import ClipBatch
from drcap.systems.recap import RECAP, CrossAttention, RECAPCaptioner


@pytest.fixture(scope="module")
def setting(tmp_path_factory, language_model):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("recap")
        patch.setenv("DRCAP_HOME", str(folder))
        training_set = toy_training_set(folder)
        yield toy_space(), training_set, toy_config(language_model), folder


@pytest.fixture
def captioner(setting):
    space, _, config, _ = setting
    system = RECAP(space)
    settings = system.settings(config)
    return RECAPCaptioner.create(
        32, system.recipe(config).captioner, torch.float32, settings
    ).eval()


def test_a_clips_own_captions_are_never_retrieved_in_training(setting, captioner):
    space, training_set, config, _ = setting
    system = RECAP(space)
    system.settings(config)
    parts = system.examples(training_set, captioner, config.captioner)
    assert parts[0].clips == training_set.clips
    assert {*parts[1].clips} <= {*training_set.validation}
    for part in parts:
        prompts = part.similar(range(len(part)), seed=0)
        for row, texts in zip(part.clip_of, prompts, strict=True):
            clip = part.clips[row]
            assert len(texts) == 3 and not set(texts) & set(clip.captions)
            assert set(texts) <= set(training_set.captions)


def test_a_domains_captions_nearest_to_the_recording_are_retrieved(setting):
    space, training_set, *_ = setting
    system = RECAP(space)
    for captions in (training_set.captions, space.captions[-15:]):
        matches = system.retrieve(training_set.clips, captions, 3)
        texts = list(dict.fromkeys(captions))
        cosines = space.audio(training_set.clips).numpy() @ space.text(texts).T
        for row, nearest in zip(cosines, matches, strict=True):
            values = dict(zip(texts, row, strict=True))
            assert [values[match.caption] for match in nearest] == pytest.approx(
                sorted(row, reverse=True)[:3], abs=1e-5
            )


def test_the_prompt_holds_the_captions_in_order(captioner):
    ids = captioner.prompts.prompt(["A dog nearby", "Rain nearby"]).ids
    prompt = captioner.tokenizer.decode(ids)
    assert prompt.index("dog") < prompt.index("Rain")


def run(captioner, frames, prompts):
    targets = [captioner.prompts.target("A dog nearby")] * len(prompts)
    with torch.no_grad():
        return captioner.loss(frames, prompts, targets)


def test_a_new_layer_has_no_effect_until_it_is_trained(setting, captioner):
    space, training_set, config, _ = setting
    frames = space.frames(training_set.clips[:2]).flatten(1)
    prompts = [captioner.prompts.prompt(["Rain nearby"])] * 2
    plain = Captioner.create(4, config.captioner.captioner, torch.float32).eval()
    plain.llm = plain.causal_lm()
    plain.embed = lambda ids, slots, rows: plain.llm.get_input_embeddings()(ids)
    torch.testing.assert_close(
        run(captioner, frames, prompts), run(plain, frames, prompts)
    )


def test_a_trained_layer_reads_the_frames(setting, captioner):
    space, training_set, *_ = setting
    for attention in captioner.mapper.attentions:
        torch.nn.init.normal_(attention.output.weight, std=0.5)
    frames = space.frames(training_set.clips[:2]).flatten(1)
    prompts = [captioner.prompts.prompt(["Rain nearby"])] * 2
    loss = run(captioner, frames, prompts)
    assert abs(loss - run(captioner, frames + 1, prompts)) > 1e-4


def test_every_second_block_alone_may_have_cross_attention(setting):
    space, _, config, _ = setting
    own = replace(config.baselines.recap, every=2)
    made = RECAPCaptioner.create(
        32,
        RECAP(space).recipe(config).captioner,
        torch.float32,
        (own, space.frame_shape),
    )
    assert len(made.mapper.attentions) == 1
    assert list(made.blocks()) == [made.llm.model.layers[1]]


def test_only_the_cross_attention_is_trained(captioner):
    assert {name.split(".")[0] for name in captioner.trainable()} == {"mapper"}
    attention = captioner.mapper.attentions[0]
    assert attention.query.weight.shape == (4 * (32 // 4 // 4), 32)


def test_cross_attention_is_the_formulas():
    attention = CrossAttention(8, 2, 2)
    torch.nn.init.normal_(attention.output.weight)
    states, frames = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    query, key, value = (
        layer(rows)[0].view(-1, 2, 2).transpose(0, 1)
        for layer, rows in (
            (attention.query, attention.norm(states)),
            (attention.key, frames),
            (attention.value, frames),
        )
    )
    weights = (query @ key.transpose(1, 2) / 2**0.5).softmax(-1)
    by_hand = attention.output((weights @ value).transpose(0, 1).reshape(3, 4))
    torch.testing.assert_close(attention(states, frames)[0], by_hand)


def test_beams_read_the_frames_of_their_own_clip(setting):
    space, training_set, config, folder = setting
    system = RECAP(space)
    system.fit(training_set, config, folder / "run")
    for attention in system.captioner.mapper.attentions:
        torch.nn.init.normal_(attention.output.weight, std=0.5)
    system.config = override(
        system.config, {"generation": {"max_new_tokens": 16, "no_repeat_ngram": 1}}
    )
    model = system.captioner.causal_lm()
    with torch.no_grad():  # so that captions end, some early and some late
        model.lm_head.weight[system.captioner.prompts.end_id] *= 3
    clips = tuple(clips_of(folder, "ac", "test", 4))
    batches = []
    watch = model.register_forward_hook(
        lambda *call: batches.append(len(call[-1].logits))
    )
    together = system.caption_clips(ClipBatch(clips, training_set.captions))
    watch.remove()
    assert batches[-1] < batches[1]  # clips left before the last was done
    for clip, result in zip(clips, together, strict=True):
        alone = ClipBatch((clip,), training_set.captions)
        assert system.caption_clips(alone) == [result]
