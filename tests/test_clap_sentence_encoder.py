import pytest
import torch

from drcap import assets
from drcap.clap.text_encoder import SentenceEncoder

CAPTIONS = [
    "A dog barks",
    "Rain falls on a tin roof while thunder rumbles far away and a man speaks slowly",
    "Birds sing",
    "An engine idles, then revs up",
    "word " * 300,  # longer than what the encoder reads
    "",
]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder():
    return SentenceEncoder(assets.resolve_model("all-minilm-l6-v2"))


def test_rows_are_unit_norm_and_in_the_order_given(encoder):
    rows = encoder.encode(CAPTIONS)
    assert (rows.shape, rows.dtype) == ((6, 384), torch.float32)
    torch.testing.assert_close(rows.norm(dim=-1), torch.ones(6))
    torch.testing.assert_close(encoder.encode(CAPTIONS[::-1]).flip(0), rows)


def test_a_row_does_not_depend_on_its_batch(encoder):
    together = encoder.encode(CAPTIONS)
    alone = torch.cat([encoder.encode([caption]) for caption in CAPTIONS])
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=0)
    in_twos = encoder.encode(CAPTIONS, batch_size=2)
    torch.testing.assert_close(together, in_twos, atol=1e-6, rtol=0)


def test_no_texts_give_no_rows(encoder):
    assert encoder.encode([]).shape == (0, 384)


def test_it_agrees_with_sentence_transformers(encoder):
    from sentence_transformers import SentenceTransformer

    reference = SentenceTransformer(
        str(assets.asset_path("all-minilm-l6-v2")), device="cpu"
    )
    reference.max_seq_length = 128
    rows = torch.from_numpy(reference.encode(CAPTIONS, normalize_embeddings=True))
    torch.testing.assert_close(encoder.encode(CAPTIONS), rows, atol=1e-5, rtol=0)
