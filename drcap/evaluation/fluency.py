"""FENSE (Zhou et al. 2022): similarity of sentences, less a penalty for a faulty one.

A classifier of BERT-base's size tells whether a candidate is faulty; the share of
faulty candidates is the fluency error rate (FER). aac-metrics computes both from the
models given here. Checked against its own `fense` and classifier on random weights.
"""

from functools import cache
from pathlib import Path
from pickle import UnpicklingError

import torch
from sentence_transformers import SentenceTransformer
from torch import nn
from transformers import BertConfig, BertModel, BertTokenizer

from drcap.assets import asset_path
from drcap.errors import MetricError
from drcap.evaluation import engine
from drcap.evaluation.engine import Score

CHECKPOINT = "echecker_clotho_audiocaps_base.ckpt"
WRONG_FILE = (AttributeError, LookupError, TypeError, RuntimeError, UnpicklingError)
BERT = BertConfig()  # the shape of bert-base-uncased


class ErrorDetector(nn.Module):
    """A BERT and a linear layer on its first token; a logit for each kind of error.

    Takes B sentences of T tokens, each argument (B, T); returns logits (B, errors).
    """

    def __init__(self, state_dict: dict[str, torch.Tensor]):
        super().__init__()
        self.clf = nn.Linear(*reversed(state_dict["clf.weight"].shape))
        self.encoder = BertModel(BERT)
        # a buffer of older versions of BERT, which newer ones do not keep
        state_dict.pop("encoder.embeddings.position_ids", None)
        self.load_state_dict(state_dict)

    def forward(self, input_ids, attention_mask, token_type_ids) -> torch.Tensor:
        hidden = self.encoder(input_ids, attention_mask, token_type_ids)
        return self.clf(hidden.last_hidden_state[:, 0])


class CachingEncoder(SentenceTransformer):
    """Encodes a list of sentences once: references come again with every system.

    It keeps whole lists, since an embedding's last digits depend on the rest of its
    batch, and encodes each sentence of a list once.
    """

    def encode(self, sentences: list[str], **options) -> torch.Tensor:
        """Return embeddings (N, D); `options` must be those of the first call."""
        known = self.__dict__.setdefault("known", {})
        if (texts := tuple(sentences)) not in known:
            distinct = list(dict.fromkeys(texts))
            rows = {text: row for row, text in enumerate(distinct)}
            embeddings = super().encode(distinct, **options)
            known[texts] = embeddings[[rows[text] for text in texts]]
        return known[texts]


cached_encoder = cache(CachingEncoder)


def similarity(asset: str, candidates: list, mult_references: list) -> Score:
    """Return the mean cosine between each candidate's and its references' embeddings.

    asset : the sentence encoder's. Raises AssetError if it is not fetched.
    """
    encoder = cached_encoder(str(asset_path(asset)))
    return engine.call("sbert_sim", candidates, mult_references, sbert_model=encoder)


def error_rate(candidates: list[str]) -> Score:
    """Return the share of faulty candidates; of each, 1 if it is faulty or 0.

    Raises AssetError if a model is not fetched, MetricError if it is another file.
    """
    folder, words = asset_path("fense-echecker"), asset_path("all-minilm-l6-v2")
    vocabulary = str(words / "vocab.txt")  # bert-base-uncased's too
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return engine.call(
        "fer",
        candidates,
        echecker=_detector(folder / CHECKPOINT).to(device),
        echecker_tokenizer=BertTokenizer(vocabulary, do_lower_case=True),
        device=device,
    )


@cache
def _detector(path: Path) -> ErrorDetector:
    try:
        # the file holds more than weights, but it is the pinned one
        stored = torch.load(path, map_location="cpu", weights_only=False)
        with torch.random.fork_rng(devices=[]):  # random weights, soon replaced
            return ErrorDetector(stored["state_dict"]).eval()
    except WRONG_FILE as error:
        raise MetricError(
            f"{path} is not the detector of fluency errors ({error}): "
            "run `drcap assets fetch --force fense-echecker`"
        ) from error
