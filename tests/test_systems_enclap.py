"""EnCLAP guesses masked codes in training, the later codebooks counting less."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from doubles_systems import fitted_system, toy_space, toy_training_set
from torch.nn import functional as F

from drcap.captioner.model import Captioner
from drcap.config import EnCLAPConfig
from drcap.systems.enclap import CodeEncoder, LogMelCodec, masks

SMALL = EnCLAPConfig(codebooks=2, bits=2, layers=1, heads=2, dropout=0.0)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, language_model):
    folder = tmp_path_factory.mktemp("enclap")
    with fitted_system("enclap", folder, language_model) as everything:
        yield everything


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return CodeEncoder(dim=5, width=16, config=SMALL, size=1.0)


def rows(clips=3, length=7):
    codes = torch.randint(0, 4, (clips, length, 2))
    return torch.cat([torch.randn(clips, 5), codes.flatten(1).float()], dim=1), codes


def test_the_clap_token_comes_first_and_then_one_a_token_of_time(encoder):
    given, codes = rows()
    encoder.eval()
    assert encoder(given).shape == (3, 8, 16)
    changed = given.clone()
    changed[:, 5:] = (changed[:, 5:] + 1) % 4
    assert not torch.allclose(encoder(given), encoder(changed))


def test_a_token_of_time_is_the_sum_of_its_codes(encoder):
    given, codes = rows()
    seen = {}
    encoder.layers.register_forward_pre_hook(lambda m, args: seen.update(x=args[0]))
    encoder.encode(given[:, :5], codes, None)
    embedded = encoder.codes[0](codes[..., 0]) + encoder.codes[1](codes[..., 1])
    at_start = seen["x"][:, 1]  # position 0 adds sin 0 and cos 0
    expected = embedded[:, 0] + torch.tensor([0.0, 1.0] * 8)
    torch.testing.assert_close(at_start, expected)


def test_masks_cover_about_the_share_asked_for_in_spans():
    config = replace(SMALL, mask_probability=0.15, mask_span=10)
    torch.manual_seed(0)
    hidden = masks((200, 300, 2), config)
    assert hidden.float().mean().item() == pytest.approx(0.139, abs=0.01)
    assert not torch.equal(hidden[..., 0], hidden[..., 1])
    inside = hidden[:, 1:-1, 0] & ~hidden[:, :-2, 0] & ~hidden[:, 2:, 0]
    assert inside[:, :-10].sum() == 0  # no mask of one token


def test_the_guessing_loss_is_the_formulas(encoder):
    _, codes = rows()
    states = torch.randn(3, 7, 16)
    hidden = torch.rand(3, 7, 2) < 0.5
    by_hand = sum(
        2.0 ** -(q + 1)
        * F.cross_entropy(
            encoder.heads[q](states[hidden[..., q]]), codes[..., q][hidden[..., q]]
        )
        for q in range(2)
    )
    loss = encoder.guessing_loss(states, codes, hidden)
    torch.testing.assert_close(loss, by_hand)


def test_a_masked_code_cannot_be_seen(encoder):
    given, codes = rows()
    hidden = torch.zeros(3, 7, 2, dtype=torch.bool)
    hidden[:, 3, 1] = True
    other = codes.clone()
    other[:, 3, 1] = (other[:, 3, 1] + 1) % 4
    encoder.eval()
    torch.testing.assert_close(
        encoder.encode(given[:, :5], codes, hidden),
        encoder.encode(given[:, :5], other, hidden),
    )


def test_the_loss_in_training_has_smoothing_and_guessing(fitted):
    system, training_set, *_ = fitted
    captioner = system.captioner
    given = system.rows(training_set.clips[:2])
    prompts = [captioner.prompts.prompt([])] * 2
    targets = [
        captioner.prompts.target(clip.captions[0]) for clip in training_set.clips[:2]
    ]
    captioner.train()
    torch.manual_seed(1)
    with torch.no_grad():
        whole = captioner.loss(given, prompts, targets)
        guessing = captioner.mapper.mcm_loss
        torch.manual_seed(1)
        caption = Captioner.loss(captioner, given, prompts, targets)
        captioner.label_smoothing = 0.0
        torch.manual_seed(1)
        sharp = Captioner.loss(captioner, given, prompts, targets)
        captioner.eval()
        captioner.label_smoothing = 0.2
        validated = captioner.loss(given, prompts, targets)
    torch.testing.assert_close(whole, caption + 0.7 * guessing)
    assert abs(caption - sharp) > 1e-4
    assert torch.isfinite(validated) and validated != whole


def test_inputs_hold_the_embedding_and_the_codes(fitted):
    system, training_set, *_ = fitted
    given = system.rows(training_set.clips[:2])
    audio = system.space.audio(training_set.clips[:2])
    torch.testing.assert_close(given[:, :32], audio)
    codes = system.codec.encode(training_set.clips[:2])
    assert (given[:, 32:].view(2, -1, 2).numpy() == codes).all()


# the codec


CODEC = EnCLAPConfig(codebooks=3, bits=3, frames=4)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    return toy_training_set(tmp_path / "clips").clips


def test_a_code_is_the_nearest_to_what_those_before_it_left(clips):
    codec = LogMelCodec(toy_space(), CODEC)
    codebooks = codec.fit(clips, 0).numpy()
    codes, left = codec.encode(clips), codec.tokens(clips)
    assert codes.shape == (12, codec.length, 3) and codes.dtype == np.int64
    assert codec.length == 30 // 4 and codes.min() >= 0 and codes.max() < 8
    errors = [(left**2).mean()]
    for q, book in enumerate(codebooks):
        distances = ((left[..., None, :] - book) ** 2).sum(-1)
        assert (distances.argmin(-1) == codes[..., q]).mean() > 0.99
        left = left - book[codes[..., q]]
        errors.append((left**2).mean())
    assert errors == sorted(errors, reverse=True)  # each codebook leaves less


def test_a_trained_codec_is_that_of_the_seed_and_can_be_used_again(clips):
    codec, again, other = (LogMelCodec(toy_space(), CODEC) for _ in range(3))
    codebooks = codec.fit(clips, 0)
    assert torch.equal(codebooks, again.fit(clips, 0))
    other.use(codebooks)
    np.testing.assert_array_equal(codec.encode(clips), other.encode(clips))
