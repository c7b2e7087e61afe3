"""FENSE and FER on random weights, against aac-metrics' own code."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, BertTokenizer

from drcap.errors import AssetError, MetricError
from drcap.evaluation import engine, fluency
from drcap.evaluation.metrics import score

WORDS = "a dog cat barks meows and then rain falls on the roof is of".split()
CANDIDATES = ["A dog barks, and", "a cat meows", "rain falls on the the the roof", ""]
MULT_REFERENCES = [
    ["a dog barks", "the dog barks"],
    ["a cat meows then barks"],
    ["rain falls", "rain on the roof", "the rain falls and falls"],
    ["a dog"],
]


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.fixture
def bert(tmp_path, monkeypatch):
    """The folder of a random BERT of two layers with its tokenizer."""
    folder = tmp_path / "bert"
    folder.mkdir()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    (folder / "vocab.txt").write_text("\n".join([*special, *WORDS]) + "\n")
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    configuration = BertConfig(
        **{"vocab_size": len(WORDS) + 5, "hidden_size": 128, "num_hidden_layers": 2},
        **{"num_attention_heads": 2, "intermediate_size": 96},
        **{"max_position_embeddings": 64, "initializer_range": 0.3},
    )
    BertModel(configuration).save_pretrained(folder)
    monkeypatch.setattr(fluency, "BERT", configuration)
    return folder


@pytest.fixture
def classifier(bert):
    """aac-metrics' own classifier, random, with half of the candidates faulty."""
    engine.functional()
    from aac_metrics.functional.fer import BERTFlatClassifier

    model = BERTFlatClassifier(str(bert), num_classes=6).eval()
    with torch.no_grad():
        model.clf.weight.mul_(8)
    return model


@pytest.fixture
def checkpoint(tmp_path, classifier):
    """Its weights as FENSE stores them, with a buffer of old versions of BERT."""
    state = {
        **classifier.state_dict(),
        "encoder.embeddings.position_ids": torch.arange(64)[None],
    }
    path = tmp_path / fluency.CHECKPOINT
    facts = {"model_type": "bert-base-uncased", "num_classes": 6}
    torch.save({**facts, "state_dict": state}, path)
    return path


@pytest.fixture
def sentence_encoder(tmp_path, bert):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "tinybert"
    SentenceTransformer(str(bert)).save(str(folder))
    return folder


@pytest.fixture
def installed(monkeypatch, bert, checkpoint, sentence_encoder):
    folders = {
        "fense-echecker": checkpoint.parent,
        "fense-tinybert": sentence_encoder,
        "all-minilm-l6-v2": bert,
    }
    monkeypatch.setattr(fluency, "asset_path", folders.__getitem__)


@pytest.fixture
def expected(classifier, sentence_encoder, bert):
    """The scores of aac-metrics' own `fense`, with the same models."""
    return engine.functional().fense(
        CANDIDATES,
        MULT_REFERENCES,
        sbert_model=str(sentence_encoder),
        echecker=classifier,
        echecker_tokenizer=BertTokenizer(str(bert / "vocab.txt")),
        device="cpu",
    )


def test_fense_and_fer_are_those_of_aac_metrics(installed, expected):
    scores = score(CANDIDATES, MULT_REFERENCES, ["fense", "fer"])
    corpus, clips = expected
    assert 0 < corpus["fer"] < 1  # else the penalty would not be seen
    for name in ("fense", "fer"):
        np.testing.assert_allclose(scores.per_clip[name], clips[name], atol=1e-6)
        assert scores.corpus[name] == pytest.approx(float(corpus[name]), abs=1e-6)


def test_a_known_list_is_not_encoded_again(sentence_encoder, monkeypatch):
    encoder = fluency.CachingEncoder(str(sentence_encoder))
    texts = ["a dog", "a cat", "a dog"]
    first = encoder.encode(texts, convert_to_tensor=True)
    parent = fluency.SentenceTransformer
    plain = parent(str(sentence_encoder)).encode(texts, convert_to_tensor=True)
    torch.testing.assert_close(first, plain)
    assert torch.equal(first[0], first[2])
    monkeypatch.setattr(parent, "encode", lambda *_, **__: pytest.fail("encoded"))
    assert torch.equal(encoder.encode(list(texts)), first)


def test_what_was_encoded_before_changes_no_digit(sentence_encoder):
    texts = ["a dog", "rain falls on a roof while people talk", "a cat"]
    alone = fluency.CachingEncoder(str(sentence_encoder))
    after = fluency.CachingEncoder(str(sentence_encoder))
    after.encode(["a dog", "an engine idles"], convert_to_tensor=True)
    found = [each.encode(texts, convert_to_tensor=True) for each in (alone, after)]
    assert torch.equal(*found)


def test_loading_the_detector_leaves_the_random_numbers_alone(checkpoint):
    before = torch.get_rng_state()
    fluency._detector(checkpoint)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "stored", [{}, {"state_dict": {}}, [1], {"state_dict": {"clf.weight": 1}}]
)
def test_another_file_than_the_detector_is_named(tmp_path, stored):
    path = tmp_path / fluency.CHECKPOINT
    torch.save(stored, path)
    with pytest.raises(MetricError, match="is not the detector.*--force fense-echeck"):
        fluency._detector(path)


def test_without_its_models_a_metric_names_the_command_that_fetches_them(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("DRCAP_HOME", str(tmp_path))
    for name in ("fer", "fense", "spider_fl"):
        with pytest.raises(MetricError, match=f"{name}: .*drcap assets fetch "):
            score(["a dog"] * 2, [["a cat"]] * 2, [name])
    with pytest.raises(AssetError, match="'fense-tinybert' is not fetched: run"):
        fluency.similarity("fense-tinybert", ["a dog"], [["a cat"]])
