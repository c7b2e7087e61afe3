"""Captions that are embedded again and again while a CLAP model learns.

A frozen text encoder sees each of them once; only its projection works anew.
"""

from collections.abc import Sequence

import torch
from tqdm import tqdm

from drcap.clap.model import CLAPModel

AT_ONCE = 256  # captions through a frozen encoder


class Texts:
    """N captions, ready to be embedded by the model as it stands."""

    def __init__(
        self, model: CLAPModel, captions: Sequence[str], progress: bool = True
    ):
        self.model = model
        self.captions = list(captions)
        frozen = not model.config.text_encoder.trained
        self.features = self._features(progress) if frozen else None

    def __len__(self) -> int:
        return len(self.captions)

    def embed(self, rows: Sequence[int]) -> torch.Tensor:
        """Embed the captions of these rows -> (n, D), unit rows."""
        if self.features is not None:
            return self.model.project_text(self.features[rows].to(self.model.device))
        return self.model.embed_tokens(**self._tokens(rows))

    def _tokens(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        tokens = self.model.tokenize([self.captions[row] for row in rows])
        return {name: each.to(self.model.device) for name, each in tokens.items()}

    @torch.no_grad()
    def _features(self, progress: bool) -> torch.Tensor:
        """Return what the frozen encoder gives for each caption, (N, H) float32."""
        self.model.eval()
        # alike lengths together save padding
        order = sorted(range(len(self)), key=lambda row: -len(self.captions[row]))
        parts = []
        bar = {"unit": "caption", "delay": 2, "disable": not progress}
        with tqdm(total=len(self), desc="reading captions", **bar) as shown:
            for start in range(0, len(self), AT_ONCE):
                rows = order[start : start + AT_ONCE]
                parts.append(self.model.text_features(**self._tokens(rows)).cpu())
                shown.update(len(rows))
        features = torch.cat(parts)
        return features[torch.tensor(order).argsort()]
