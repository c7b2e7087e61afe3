"""How well a CLAP model does, while it learns, on clips that it does not learn from.

The clips are decoded once. Each measurement embeds them anew, as `encode_recordings`
does, and scores the retrieval of captions by audio and the modality gap (Fig. 1).
"""

import sys
from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from drcap import audio
from drcap.clap.batches import EmbeddedClips, encode_windows, longest_first
from drcap.clap.model import CLAPModel, TrainedCLAP, autocast, contrastive_loss
from drcap.clap.pairs import with_audio
from drcap.data.clip import Clip
from drcap.errors import AudioError, DatasetError
from drcap.modality_gap import gap_statistics

MEASURES = ("validation_loss", "recall_at_10", "gap", "paired")
AT_ONCE = 256  # captions through a frozen encoder


class Texts:
    """N captions, ready to be embedded again and again while the model learns.

    A frozen text encoder reads each of them once; only its projection works anew.
    """

    def __init__(
        self, model: CLAPModel, captions: Sequence[str], progress: bool = True
    ):
        self.model = model
        self.captions = list(captions)
        self.features = None
        if not model.config.text_encoder.trained:
            self._read(progress)

    def __len__(self) -> int:
        return len(self.captions)

    @torch.no_grad()
    def _read(self, progress: bool) -> None:
        """Compute the pooled states of all captions, (N, H) float32 on the CPU."""
        self.model.eval()
        self.features = torch.empty(len(self), self.model.text_encoder.width)
        for rows in longest_first(self.captions, AT_ONCE, "reading captions", progress):
            tokens = self.model.tokenize([self.captions[row] for row in rows])
            self.features[rows] = self.model.text_encoder(**tokens).cpu()

    def embed(self, rows: Sequence[int]) -> torch.Tensor:
        """Embed the captions of these rows -> (n, D), unit rows."""
        if self.features is None:
            return self.model.embed_text([self.captions[row] for row in rows])
        return self.model.project_text(self.features[rows].to(self.model.device))


class Validation:
    """Clips held out of the training, with all their captions.

    A clip that cannot be read is named on stderr and left out. Raises DatasetError if
    fewer than two remain.
    """

    def __init__(self, model: CLAPModel, clips: Sequence[Clip], progress: bool = True):
        self.model = model
        self.windows: list[tuple[int, np.ndarray]] = []  # the clip, and a waveform
        settings = model.config.front_end
        kept: list[Clip] = []
        bar = {"unit": "clip", "delay": 2, "disable": not progress}
        for clip in tqdm(with_audio(clips), "reading validation clips", **bar):
            try:
                windows = list(audio.windows(clip.path, settings.sr, settings.seconds))
                self.windows += [(len(kept), window) for window in windows]
                kept.append(clip)
            except AudioError as error:
                tqdm.write(f"left out: {error}", file=sys.stderr)
        if len(kept) < 2:
            raise DatasetError(
                f"validation: {len(kept)} of {len(clips)} clips can be read; give two "
                "or more with audio, or none"
            )
        captions = [caption for clip in kept for caption in clip.captions]
        self.texts = Texts(model, captions, progress)
        counts = [len(clip.captions) for clip in kept]
        self.clip_of_text = np.repeat(np.arange(len(kept)), counts)

    @torch.inference_mode()
    def measure(self, batch_size: int) -> dict[str, float]:
        """Return the MEASURES of the model as it is now, in inference's precision.

        validation_loss : of one batch of all clips, each with its first caption
        recall_at_10 : audio to text, among all captions, see `retrieval_scores`
        gap, paired : distance of the centroids, and mean cosine of a clip and its first
            caption, see `gap_statistics`
        """
        count = int(self.clip_of_text[-1]) + 1
        clap = TrainedCLAP(self.model)  # without dropout
        sounds = encode_windows(self.windows, count, clap, batch_size)
        with autocast(self.model.device):
            rows = torch.arange(len(self.texts)).split(batch_size)
            text = torch.cat([self.texts.embed(part.tolist()).cpu() for part in rows])
        clips = EmbeddedClips(sounds.numpy(), text.numpy(), self.clip_of_text)
        own = torch.from_numpy(clips.first_text)
        loss = contrastive_loss(sounds, own, clap.temperature, torch.arange(count))
        gap = gap_statistics(clips.audio, clips.first_text)
        recall = clips.scores()["audio_to_text"]["R@10"]
        values = (loss.item(), recall, gap.distance, gap.paired)
        return dict(zip(MEASURES, values, strict=True))
