"""How well a CLAP model does, while it learns, on clips that it does not learn from.

Measured are the retrieval of captions by audio and the modality gap (Fig. 1).
"""

import sys
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

from drcap import audio
from drcap.clap.batches import EmbeddedClips, encode_recordings, longest_first
from drcap.clap.model import CLAPModel, TrainedCLAP, autocast, contrastive_loss
from drcap.data.clip import Clip, captions_of
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
            self.features = self._pooled_states(progress)  # (N, H)

    @torch.no_grad()
    def _pooled_states(self, progress: bool) -> torch.Tensor:
        self.model.eval()
        features = torch.empty(len(self.captions), self.model.text_encoder.width)
        for rows in longest_first(self.captions, AT_ONCE, "reading captions", progress):
            captions = [self.captions[row] for row in rows]
            features[rows] = self.model.pool_text(captions).cpu()
        return features

    def embed(self, rows: Sequence[int]) -> torch.Tensor:
        """Embed the captions of these rows -> (n, D), unit rows."""
        if self.features is None:
            return self.model.embed_text([self.captions[row] for row in rows])
        return self.model.project_text(self.features[rows].to(self.model.device))


def readable(clips: Sequence[Clip]) -> Iterator[Clip]:
    """Yield the clips whose recordings can be read; name the others on stderr."""
    for clip in clips:
        try:
            audio.measure(clip.path)
        except AudioError as error:
            tqdm.write(f"left out: {error}", file=sys.stderr)
        else:
            yield clip


class Validation:
    """Clips that are held out of the training, with all their captions.

    One that cannot be read is left out; DatasetError if none can.
    """

    def __init__(self, model: CLAPModel, clips: Sequence[Clip]):
        self.model, self.clips = model, list(readable(clips))
        if not self.clips:
            raise DatasetError("validation: no clip can be read; give others, or none")
        self.texts = Texts(model, captions_of(self.clips))

    @torch.inference_mode()
    def measure(self, batch_size: int) -> dict[str, float]:
        """Return the MEASURES of the model as it is now, in inference's precision.

        validation_loss : of one batch of all clips, each with its first caption
        recall_at_10 : audio to text, among all captions, see `retrieval_scores`
        gap, paired : distance of the centroids, and mean cosine of a clip and its first
            caption, see `gap_statistics`
        """
        clap = TrainedCLAP(self.model)  # without dropout
        paths = [clip.path for clip in self.clips]
        sounds = encode_recordings(paths, clap, batch_size=batch_size, progress=False)
        clip_of_text = np.repeat(
            np.arange(len(paths)), [len(clip.captions) for clip in self.clips]
        )
        with autocast(self.model.device):
            rows = torch.arange(len(clip_of_text)).split(batch_size)
            text = torch.cat([self.texts.embed(part.tolist()).cpu() for part in rows])
        embedded = EmbeddedClips(sounds, text.numpy(), clip_of_text)
        pairs = map(torch.from_numpy, (sounds, embedded.first_text))
        loss = contrastive_loss(*pairs, clap.temperature, torch.arange(len(paths)))
        gap = gap_statistics(embedded.audio, embedded.first_text)
        recall = embedded.scores()["audio_to_text"]["R@10"]
        values = (loss.item(), recall, gap.distance, gap.paired)
        return dict(zip(MEASURES, values, strict=True))
