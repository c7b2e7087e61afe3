"""Beam search in which a clip leaves the batch as soon as its captions are final.

Captions and their order are those of transformers' beam search, which goes on with the
finished clips of a batch until its last one is done, and copies prompts and captions at
every token, twice. Checked against it for penalties and banned n-grams.
"""

import torch
from torch.nn import functional as F
from transformers import DynamicCache, NoRepeatNGramLogitsProcessor
from transformers.cache_utils import DynamicLayer

from drcap.captioner.model import Captioner
from drcap.config import GenerationConfig

NEVER = -1e9  # a score that no caption has; transformers' own


def beam_search(
    captioner: Captioner,
    last: torch.Tensor,
    mask: torch.Tensor,
    cache: DynamicCache,
    config: GenerationConfig,
) -> torch.Tensor:
    """Return the K final beams of B prompts, the likeliest first, (B, K, N) int64.

    last : (B, 1, H), inputs at the last      mask : (B, T), 0 where padded on the left
    cache : of all positions but the last, B rows
    returns : tokens of N = `config.max_new_tokens`, filled up with the end token

    A beam's score is its log-likelihood over length ** length_penalty. A clip is done
    when its best open beam would be no better, if it ended now, than its K best ended
    ones. The model's own settings (generation_config.json) are not read.
    """
    model, end_id = captioner.causal_lm(), captioner.prompts.end_id
    beams, room = config.num_beams, config.max_new_tokens
    penalty, size = config.length_penalty, config.no_repeat_ngram
    ban = NoRepeatNGramLogitsProcessor(size) if size else None

    def read(**tokens: torch.Tensor) -> torch.Tensor:
        given = {"attention_mask": mask, "position_ids": places, "use_cache": True}
        return model(**tokens, **given, past_key_values=cache).logits[:, -1].float()

    places = positions(mask)[:, -1:]
    padded = ~mask.bool().all(dim=1)  # clips, as `better`
    better = torch.ones_like(padded)  # whether an open beam may be so
    logits = read(inputs_embeds=last)  # once a clip: its beams are one as yet
    cache = for_beams(cache, beams, room - 1)
    mask, places, logits = (
        rows.repeat_interleave(beams, dim=0) for rows in (mask, places, logits)
    )
    live = torch.arange(len(padded), device=mask.device)  # clips in the batch
    found = live.new_full((len(live), beams, room), end_id)  # the best that have ended
    found_scores = torch.full((len(live), beams), NEVER, device=mask.device)
    captions, scores = found[:, :, :0], found_scores.clone()  # open beams
    scores[:, 0] = 0  # go on from the first alone
    for length in range(1, room + 1):
        words = logits.log_softmax(dim=-1)  # (clips * K, vocabulary)
        if ban is not None:
            words = ban(captions.flatten(0, 1), words)
        totals = words.view(len(live), beams, -1) + scores[..., None]
        top, index = totals.flatten(1).topk(2 * beams)  # K may end, K go on
        parents, tokens = index // totals.shape[2], index % totals.shape[2]
        longer = torch.cat([_take(captions, parents), tokens[..., None]], dim=2)
        ended = (tokens == end_id) | (length == room)

        final = top / length**penalty + ~(ended & better[:, None]) * NEVER
        final = torch.cat([found_scores[live], final[:, :beams]], dim=1)
        filled = F.pad(longer[:, :beams], (0, room - length), value=end_id)
        found_scores[live], best = final.topk(beams)
        found[live] = _take(torch.cat([found[live], filled], dim=1), best)

        _, open_ = (top + ended * NEVER).topk(beams)
        scores, captions = top.gather(1, open_), _take(longer, open_)
        better &= scores[:, 0] / length**penalty > found_scores[live].amin(dim=1)
        if length == room or not better.any():
            break
        stay = better
        if not padded[stay].any():  # one does: without padding, bits are others
            stay = better | (padded & (padded.cumsum(0) == 1))
        first = torch.arange(0, len(mask), beams, device=mask.device)
        rows = (parents.gather(1, open_) + first[:, None])[stay].flatten()
        cache.reorder_cache(rows)
        captioner.keep(stay)
        live, scores, captions = live[stay], scores[stay], captions[stay]
        padded, better = padded[stay], better[stay]
        mask, places = F.pad(mask[rows], (0, 1), value=1), places[rows] + 1
        logits = read(input_ids=captions[:, :, -1].reshape(-1, 1))
    return found


def positions(mask: torch.Tensor) -> torch.Tensor:
    """Return each token's position behind the padding, (B, T) as `mask`."""
    return (mask.cumsum(1) - 1).clamp(min=0)


def _take(beams: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the beams (B, n, N) at places (B, K), (B, K, N)."""
    return beams.gather(1, places[..., None].expand(-1, -1, beams.shape[2]))


class BeamLayer(DynamicLayer):
    """A layer's keys and values of B prompts, (B, heads, T, width), for B * K beams.

    Beams of a clip share its prompt, so only their captions move from beam to beam.

    layer : after reading the prompts      beams : K      room : tokens that may follow
    """

    def __init__(self, layer: DynamicLayer, beams: int, room: int):
        super().__init__()
        self.dtype, self.device = layer.keys.dtype, layer.keys.device
        self.is_initialized = True
        self.prompt = layer.get_seq_length()  # T
        self.states = [
            F.pad(rows.repeat_interleave(beams, dim=0), (0, 0, 0, room))
            for rows in (layer.keys, layer.values)
        ]
        self._show(self.prompt)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *_, **__):
        """Add tokens (B * K, heads, n, width); RuntimeError where no room is left."""
        start, count = self.get_seq_length(), key_states.shape[-2]
        for states, new in zip(self.states, (key_states, value_states), strict=True):
            states.narrow(2, start, count).copy_(new)
        self._show(start + count)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        """Let each beam go on from the caption of another beam of its clip.

        Where there are fewer than before, clips that `beam_idx` lacks have left.
        """
        rows = beam_idx.to(self.keys.device)
        if len(rows) < len(self.keys):
            self.states = [states.index_select(0, rows) for states in self.states]
            self._show(self.get_seq_length())
            return
        for states in (self.keys, self.values):
            captions = states[:, :, self.prompt :]
            captions.copy_(captions.index_select(0, rows))

    def _show(self, length: int) -> None:
        self.keys, self.values = (states[:, :, :length] for states in self.states)


def for_beams(cache: DynamicCache, beams: int, room: int) -> DynamicCache:
    """Turn the cache of B prompts into that of B * K beams, each clip's in a row.

    Layers of other kinds, such as those with a sliding window, stay transformers' own.
    """
    if all(type(layer) is DynamicLayer for layer in cache.layers):
        cache.layers = [BeamLayer(layer, beams, room) for layer in cache.layers]
    else:
        cache.batch_repeat_interleave(beams)
    return cache
