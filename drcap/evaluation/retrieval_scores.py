"""Retrieval across modalities: how well a CLAP model finds captions by sound and back.

In go the embeddings of N clips and of their M captions, out come R@k (the share of
queries with a right answer among the first k) and mAP@10, in both directions. Checked
against a brute-force ranking. The paper prints no such scores.
"""

from collections.abc import Iterator

import numpy as np

DEPTHS = (1, 5, 10)  # k of R@k
DEEPEST = max(DEPTHS)
BLOCK = 1024  # queries that are ranked at once


def retrieval_scores(
    audio: np.ndarray, text: np.ndarray, clip_of_text: np.ndarray
) -> dict[str, dict[str, float]]:
    """Score retrieval of captions by audio, and of audio by captions.

    audio : (N, D), unit rows, a row a clip     text : (M, D), unit rows
    clip_of_text : (M,) ints in [0, N), the clip that each caption describes
    returns : "audio_to_text" and "text_to_audio", each "R@1", "R@5", "R@10", "mAP@10",
        in [0, 1]

    A clip's captions are all right answers for it; mAP@10 divides by the number of
    right answers, ten at most. Equal similarities rank in the order of the rows.
    Memory: O(BLOCK x max(N, M)). ValueError for arrays that do not fit, or a clip
    without a caption.
    """
    _check(audio, text, clip_of_text)
    clips = np.arange(len(audio))
    return {
        "audio_to_text": _scores(audio, clips, text, clip_of_text),
        "text_to_audio": _scores(text, clip_of_text, audio, clips),
    }


def own_places(
    audio: np.ndarray, text: np.ndarray, clip_of_text: np.ndarray
) -> np.ndarray:
    """Return where each clip finds the nearest of its own captions: (N,), 1 is first.

    Arguments and errors are those of `retrieval_scores`.
    """
    _check(audio, text, clip_of_text)
    nearest = np.concatenate([*_ranked(audio, text)])  # (N, M) rows of text
    own = clip_of_text[nearest] == np.arange(len(audio))[:, None]
    return np.argmax(own, axis=1) + 1


def chance(clips: int, captions_per_clip: int = 1) -> dict[str, dict[str, float]]:
    """Return the expected R@k of a random order, for clips of equally many captions."""
    total, places = clips * captions_per_clip, np.arange(DEEPEST)
    others = np.clip(total - captions_per_clip - places, 0, None)
    wrong = np.cumprod(others / np.clip(total - places, 1, None))  # all of k + 1
    return {
        "audio_to_text": {f"R@{k}": float(1 - wrong[k - 1]) for k in DEPTHS},
        "text_to_audio": {f"R@{k}": min(k / clips, 1.0) for k in DEPTHS},
    }


def _scores(
    queries: np.ndarray,
    clip_of_query: np.ndarray,
    items: np.ndarray,
    clip_of_item: np.ndarray,
) -> dict[str, float]:
    answers = np.bincount(clip_of_item)[clip_of_query]  # right ones, of each query
    nearest = [order[:, :DEEPEST] for order in _ranked(queries, items)]
    right = clip_of_item[np.concatenate(nearest)] == clip_of_query[:, None]  # (Q, k)
    precision = np.cumsum(right, axis=1) / np.arange(1, right.shape[1] + 1)
    average = (precision * right).sum(axis=1) / np.minimum(answers, DEEPEST)
    recalls = {f"R@{k}": float(right[:, :k].any(axis=1).mean()) for k in DEPTHS}
    return recalls | {f"mAP@{DEEPEST}": float(average.mean())}


def _ranked(queries: np.ndarray, items: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of all items, the nearest first, of each query of a block."""
    columns = items.astype(np.float64).T
    for start in range(0, len(queries), BLOCK):
        block = queries[start : start + BLOCK].astype(np.float64)
        # below six decimals, cosines depend on the order of summation; ties must not
        yield np.argsort(-np.round(block @ columns, 6), axis=1, kind="stable")


def _check(audio: np.ndarray, text: np.ndarray, clip_of_text: np.ndarray) -> None:
    if audio.ndim != 2 or text.ndim != 2 or audio.shape[1:] != text.shape[1:]:
        raise ValueError(f"{audio.shape}, {text.shape} do not fit: not (N, D), (M, D)")
    if clip_of_text.shape != (len(text),):
        raise ValueError(f"{clip_of_text.shape} names no clip for each of {text.shape}")
    if not (np.isfinite(audio).all() and np.isfinite(text).all()):
        raise ValueError("the embeddings hold NaN or infinite values")
    if not np.array_equal(np.unique(clip_of_text), np.arange(len(audio))):
        raise ValueError("every clip needs a caption, every caption one of the clips")
