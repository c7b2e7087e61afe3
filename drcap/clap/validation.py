"""How well a CLAP model does, while it learns, on clips that it does not learn from.

The log-mels of the clips are computed once; each measurement embeds them anew, a whole
recording by the mean of its windows as `encode_recordings` does, and scores the
retrieval of captions by audio and the modality gap.
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from drcap import audio
from drcap.clap.front_end import fixed_length
from drcap.clap.loss import contrastive_loss
from drcap.clap.model import CLAPModel, autocast
from drcap.clap.texts import Texts
from drcap.data.captions import Clip
from drcap.errors import AudioError, DatasetError
from drcap.evaluation.cross_modal import retrieval_scores
from drcap.modality_gap import gap_statistics

MEASURES = ("validation_loss", "recall_at_10", "gap", "paired")


class Validation:
    """Clips held out of the training, with all their captions.

    A clip that cannot be read is told on stderr and left out; DatasetError if fewer
    than two are left.
    """

    def __init__(self, model: CLAPModel, clips: Sequence[Clip], progress: bool = True):
        self.model = model
        self.log_mels: list[torch.Tensor] = []  # of each window, (frames, mels)
        self.clip_of_window: list[int] = []
        self.weights: list[float] = []  # of each window, its samples
        kept = []
        bar = {"unit": "clip", "delay": 2, "disable": not progress}
        for clip in tqdm(clips, "reading validation clips", **bar):
            try:
                self._add(clip, len(kept))
                kept.append(clip)
            except AudioError as error:
                tqdm.write(f"left out: {error}", file=sys.stderr)
        if len(kept) < 2:
            raise DatasetError(
                f"validation: {len(kept)} of {len(clips)} clips can be read; give two "
                "or more with audio, or none"
            )
        self.size = len(kept)
        texts = [caption for clip in kept for caption in clip.captions]
        self.texts = Texts(model, texts, progress)
        counts = [len(clip.captions) for clip in kept]
        self.clip_of_text = np.repeat(np.arange(self.size), counts)

    def _add(self, clip: Clip, number: int) -> None:
        settings = self.model.config.front_end
        if clip.path is None:
            raise AudioError(f"{clip.dataset} clip {clip.clip_id}: has no audio here")
        windows = list(audio.windows(clip.path, settings.sr, settings.seconds))
        # the rule of `encode_recordings`
        windows = [each for each in windows if not audio.is_silent(each)] or windows[:1]
        with torch.inference_mode():
            waveforms = fixed_length(windows, settings).to(self.model.device)
            self.log_mels += self.model.front_end(waveforms).cpu()
        self.clip_of_window += [number] * len(windows)
        self.weights += [float(len(each)) for each in windows]

    @torch.inference_mode()
    def measure(self, batch_size: int) -> dict[str, float]:
        """Return the MEASURES of the model as it is now, in inference's precision.

        validation_loss : of one batch of all clips, each with its first caption
        recall_at_10 : audio to text, among all captions, see `retrieval_scores`
        gap, paired : distance of the centroids, and mean cosine of a clip and its first
            caption, see `gap_statistics`
        """
        self.model.eval()
        with autocast(self.model.device):
            audio_rows, text_rows = self._audio(batch_size), self._text(batch_size)
        first = np.unique(self.clip_of_text, return_index=True)[1]
        own = text_rows[first]
        clips = torch.arange(self.size)
        loss = contrastive_loss(audio_rows, own, self.model.temperature.cpu(), clips)
        scores = retrieval_scores(
            audio_rows.numpy(), text_rows.numpy(), self.clip_of_text
        )
        gap = gap_statistics(audio_rows.numpy(), own.numpy())
        recall = scores["audio_to_text"]["R@10"]
        values = (loss.item(), recall, gap.distance, gap.paired)
        return dict(zip(MEASURES, values, strict=True))

    def _audio(self, batch_size: int) -> torch.Tensor:
        """Embed the clips -> (N, D) on the CPU, unit rows."""
        parts = []
        for start in range(0, len(self.log_mels), batch_size):
            log_mels = torch.stack(self.log_mels[start : start + batch_size])
            parts.append(self.model.embed_log_mels(log_mels.to(self.model.device)))
        windows = torch.cat(parts).cpu()
        weighted = windows * torch.tensor(self.weights)[:, None]
        sums = torch.zeros(self.size, windows.shape[1])
        sums.index_add_(0, torch.tensor(self.clip_of_window), weighted)
        return F.normalize(sums, dim=1)

    def _text(self, batch_size: int) -> torch.Tensor:
        """Embed the captions -> (M, D) on the CPU, unit rows."""
        rows = torch.arange(len(self.texts)).split(batch_size)
        return torch.cat([self.texts.embed(part.tolist()).cpu() for part in rows])
