"""The codec of the EnCLAP rows: recordings to T tokens of Q codes.

EnCodec, pretrained, wherever its weights can be had; or a residual quantiser of
log-mels that is trained on the recordings of the source corpus, as a note under the
tables says. As in EnCodec, each code is the nearest to what the codes before it left.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import faiss
import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from tqdm import tqdm
from transformers import EncodecModel

from drcap import assets, audio, cache
from drcap.atomic import atomic_path
from drcap.config import EnCLAPConfig
from drcap.data.clip import Clip
from drcap.devices import resolve_device
from drcap.errors import ConfigError
from drcap.joint_space import WINDOWS, JointSpace

MOST_TOKENS = 1021  # of a recording that EnCLAP reads; a rest is left out
TRAINED_ON = 100_000  # tokens at most, drawn from the recordings
CODEC = "codec.safetensors"


class LogMelCodec:
    """The quantiser of log-mels that is trained here; T is its `length`."""

    def __init__(self, space: JointSpace, config: EnCLAPConfig):
        frames, mels = space.log_mel_shape
        self.space, self.frames = space, config.frames
        self.codebooks, self.bits = config.codebooks, config.bits
        self.length = frames // config.frames
        width = mels * config.frames
        self.quantiser = faiss.ResidualQuantizer(width, self.codebooks, self.bits)
        self.quantiser.train_type = faiss.ResidualQuantizer.Train_default
        self.quantiser.max_beam_size = 1  # the nearest code each time, as EnCodec's

    def fit(self, clips: Sequence[Clip], seed: int, folder: Path) -> None:
        """Learn the codebooks by k-means, one after another, and write them."""
        rows = self.tokens(clips).reshape(-1, self.quantiser.d)
        if len(rows) > TRAINED_ON:
            chosen = np.random.default_rng(seed).choice(len(rows), TRAINED_ON, False)
            rows = rows[np.sort(chosen)]
        self.quantiser.cp.seed = seed
        self.quantiser.train(rows)
        with atomic_path(Path(folder) / CODEC) as aside:
            save_file({"codebooks": self.centroids()}, aside)

    def load(self, folder: Path) -> None:
        """Read what `fit` wrote."""
        flat = load_file(Path(folder) / CODEC)["codebooks"].ravel()
        faiss.copy_array_to_vector(flat, self.quantiser.codebooks)
        self.quantiser.is_trained = True

    def tokens(self, clips: Sequence[Clip]) -> np.ndarray:
        """Cut log-mels into tokens, a rest dropped: (B, T, frames * mels) float32."""
        log_mels = self.space.log_mels(clips).numpy()  # (B, frames, mels)
        whole = log_mels[:, : self.length * self.frames]
        rows = whole.reshape(len(whole), self.length, -1)
        return np.ascontiguousarray(rows, dtype=np.float32)

    def encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return the codes of clips, (B, T, Q) int64."""
        packed = self.quantiser.compute_codes(
            self.tokens(clips).reshape(-1, self.quantiser.d)
        )
        codes = faiss.unpack_bitstrings(packed, self.codebooks, self.bits)
        return codes.reshape(-1, self.length, self.codebooks).astype(np.int64)

    def centroids(self) -> np.ndarray:
        """Return the codebooks, (Q, 2 ** bits, frames * mels)."""
        flat = faiss.vector_to_array(self.quantiser.codebooks)
        return flat.reshape(self.codebooks, -1, self.quantiser.d)


class PretrainedCodec:
    """EnCodec by Hugging Face name or folder; its first Q codebooks.

    ConfigError if it has fewer, or codes of another size than the settings say.
    """

    def __init__(self, space: JointSpace, config: EnCLAPConfig):
        self.name, self.codebooks = config.codec, config.codebooks
        own, most = self.model.config, self.model.quantizer.num_quantizers
        if own.codebook_size != 2**config.bits or most < self.codebooks:
            raise ConfigError(
                f"enclap.codec: {config.codec} has {most} codebooks of "
                f"{own.codebook_size} entries; set enclap.codebooks and enclap.bits "
                "to fit"
            )
        seconds = WINDOWS * space.clap.window_seconds
        self.samples = round(seconds * own.sampling_rate)
        self.length = min(int(np.ceil(seconds * own.frame_rate)), MOST_TOKENS)

    @cached_property
    def model(self) -> EncodecModel:
        """The codec, frozen."""
        source = assets.resolve_model(self.name)
        return EncodecModel.from_pretrained(source).to(resolve_device()).eval()

    def encode(self, clips: Sequence[Clip]) -> np.ndarray:
        """Return the codes of clips, (B, T, Q) int64; computed once."""
        recordings = [str(clip.path) for clip in clips]
        key = [self.name, self.codebooks, self.samples, recordings]
        return cache.keep("codes", key, lambda: self._codes(recordings))

    @torch.inference_mode()
    def _codes(self, recordings: Sequence[str]) -> np.ndarray:
        # the first codes of the widest bandwidth are those of any
        widest = max(self.model.config.target_bandwidths)
        rows = []
        for path in tqdm(recordings, desc="codec", unit="recording", delay=2):
            wave = audio.load(path, self.model.config.sampling_rate)
            wave = torch.from_numpy(audio.fit_length(wave, self.samples))
            wave = wave[None, None].to(self.model.device)
            codes = self.model.encode(wave, bandwidth=widest).audio_codes[0, 0]
            rows.append(codes[: self.codebooks, : self.length].T.cpu().numpy())
        return np.ascontiguousarray(np.stack(rows))
