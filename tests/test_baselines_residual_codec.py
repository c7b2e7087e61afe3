"""The codec is residual: each code is the nearest to what the ones before left over."""

import numpy as np
import pytest

from drcap.baselines.residual_codec import ResidualCodec


def log_mels(clips=20, frames=41, mels=6):
    return np.random.default_rng(0).normal(-40, 10, (clips, frames, mels)).astype("f4")


@pytest.fixture
def codec():
    made = ResidualCodec(mels=6, codebooks=3, bits=3, frames=4)
    made.fit(log_mels(), seed=0)
    return made


def test_codes_are_of_the_declared_shape_and_range(codec):
    codes = codec.encode(log_mels(2))
    assert codes.shape == (2, 10, 3) and codes.dtype == np.int64
    assert codes.min() >= 0 and codes.max() < 8


def test_each_code_is_the_nearest_to_the_residual(codec):
    books = codec.centroids()
    left = codec.tokens(log_mels(2))
    codes = codec.encode(log_mels(2))
    for q in range(3):
        distances = ((left[..., None, :] - books[q]) ** 2).sum(-1)
        assert (distances.argmin(-1) == codes[..., q]).mean() > 0.99
        left = left - books[q][codes[..., q]]
    decoded = codec.decode(codes)
    np.testing.assert_allclose(codec.tokens(log_mels(2)) - decoded, left, atol=1e-3)


def test_more_codebooks_leave_a_smaller_error():
    errors = []
    for codebooks in (1, 2, 4):
        codec = ResidualCodec(6, codebooks, 3, 4)
        codec.fit(log_mels(), seed=0)
        tokens = codec.tokens(log_mels())
        errors.append(((codec.decode(codec.encode(log_mels())) - tokens) ** 2).mean())
    assert errors[0] > errors[1] > errors[2]


def test_a_saved_codec_gives_the_same_codes(codec, tmp_path):
    codec.save(tmp_path / "codec.safetensors")
    loaded = ResidualCodec(mels=6, codebooks=3, bits=3, frames=4)
    loaded.load(tmp_path / "codec.safetensors")
    np.testing.assert_array_equal(codec.encode(log_mels(3)), loaded.encode(log_mels(3)))


def test_one_seed_one_codec(codec):
    other = ResidualCodec(mels=6, codebooks=3, bits=3, frames=4)
    other.fit(log_mels(), seed=0)
    np.testing.assert_array_equal(codec.centroids(), other.centroids())
