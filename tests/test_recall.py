import numpy as np
import pytest

from drcap.retrieval import CaptionDatastore
from drcap.retrieval.nearest import Exact
from drcap.retrieval.recall import recall, sampled_recall


def clustered_rows(count, dim=16, seed=0):
    centres = np.random.default_rng(99).standard_normal((20, dim))
    noise = np.random.default_rng(seed).standard_normal((count, dim))
    rows = centres[np.arange(count) % 20] + 0.4 * noise
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def datastore_of(rows, index):
    return CaptionDatastore([str(i) for i in range(len(rows))], rows, "random", index)


class Every(Exact):
    """Finds only rows of even number."""

    exact = False

    def search(self, queries, count, excluded):
        odd = np.arange(1, len(self.embeddings), 2)
        return super().search(queries, count, odd)


def test_an_exact_search_finds_all():
    datastore = datastore_of(clustered_rows(300), "exact")
    assert recall(datastore, clustered_rows(20, seed=1)) == 1
    assert sampled_recall(datastore) == 1


def test_recall_is_the_share_of_the_exact_top_k_by_hand():
    datastore = datastore_of(clustered_rows(300), "ivf")
    datastore._nearest = Every(datastore.embeddings)
    queries = clustered_rows(40, seed=1)
    products = queries @ datastore.embeddings.T
    best = np.argsort(-products, axis=1)[:, :3]
    assert recall(datastore, queries) == pytest.approx(np.mean(best % 2 == 0))


def test_a_caption_as_similar_as_the_last_one_counts():
    rows = np.repeat(clustered_rows(100), 2, axis=0)  # each an even and an odd time
    datastore = datastore_of(rows, "ivf")
    datastore._nearest = Every(rows)
    assert recall(datastore, clustered_rows(10, seed=1), top_k=1) == 1


@pytest.mark.parametrize("index", ["ivf", "hnsw"])
def test_the_indexes_find_nearly_all_of_what_lies_in_clusters(index):
    datastore = datastore_of(clustered_rows(4000), index)
    assert sampled_recall(datastore) > 0.8


def test_an_empty_datastore_has_nothing_to_miss():
    assert sampled_recall(CaptionDatastore([], np.empty((0, 4)), "random", "ivf")) == 1
