"""YAMNet, the AudioSet tagger of the caption bridge: waveform -> 521 probabilities.

The 8-bit ONNX graph takes log-mel patches of 0.96 s at a hop of 0.48 s; this module
makes them as YAMNet was trained with: 16 kHz, 25 ms Hann window, 10 ms hop, 64 HTK mel
bands from 125 to 7500 Hz on the magnitude spectrum, natural logarithm.
"""

import csv
import tomllib
from functools import cached_property
from pathlib import Path

import numpy as np
from transformers.audio_utils import mel_filter_bank  # librosa's takes 190 MB to load

SR = 16_000  # Hz
WINDOW, HOP, FFT = 400, 160, 512  # samples
PATCH, PATCH_HOP = 96, 48  # frames
LOG_OFFSET = 1e-6

# What is said of AudioSet's classes besides their names.
with Path(__file__).with_name("audioset.toml").open("rb") as _stream:
    CLASSES = tomllib.load(_stream)
SILENCE = "Silence"
PLAIN_NAMES: dict[str, str] = CLASSES["plain_names"]
UMBRELLAS = frozenset(CLASSES["umbrellas"])


class YAMNet:
    """Tag waveforms with AudioSet classes.

    folder : holds yamnet.onnx and class_map.csv (asset `yamnet`)
    """

    def __init__(self, folder: Path):
        self.model_path = Path(folder) / "yamnet.onnx"
        with open(Path(folder) / "class_map.csv", newline="") as stream:
            self.class_names = [row["display_name"] for row in csv.DictReader(stream)]

    def tag(self, waveform: np.ndarray) -> np.ndarray:
        """Return each patch's class probabilities: (n,) float32, 16 kHz -> (P, 521)."""
        session, constants = self._model
        patches = log_mel_patches(waveform)
        levels = np.round(patches / constants["audio_scale"])
        levels += np.float32(constants["audio_zero_point"])
        levels = np.clip(levels, 0, 255).astype(np.uint8)
        # the graph's batch dimension is fixed to one
        scores = [session.run(None, {"audio": p[None, None]})[0] for p in levels]
        scores = np.concatenate(scores).reshape(len(patches), -1).astype(np.float32)
        centred = scores - np.float32(constants["class_scores_zero_point"])
        logits = centred * constants["class_scores_scale"]
        return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))

    @property
    def classifier(self) -> np.ndarray:
        """The last layer's rows, (521, 1024): classes that are alike have like rows."""
        import onnx

        for tensor in onnx.load(self.model_path).graph.initializer:
            if tensor.name == "model.classifier.weight":
                return onnx.numpy_helper.to_array(tensor)
        raise KeyError("model.classifier.weight")

    @cached_property
    def _model(self):
        import onnx

        model = onnx.load(self.model_path)
        constants = {
            tensor.name: onnx.numpy_helper.to_array(tensor)
            for tensor in model.graph.initializer
            if tensor.name.startswith(("audio_", "class_scores_"))
        }
        return _exact_session(model), constants


def pooled(over_time: np.ndarray) -> np.ndarray:
    """Pool probabilities (P, 521) over time: half the mean, half the maximum."""
    return (over_time.mean(0) + over_time.max(0)) / 2


def _exact_session(model):
    """Return a session in which sums of 8-bit products do not overflow.

    On x86 without VNNI, onnxruntime adds products of unsigned and signed bytes in 16
    bits, which saturate and change the tags. Its slower way is exact, but it rewrites
    zero points and fails at one that several weights share: so each gets its own.
    """
    import onnxruntime

    graph = model.graph
    shared = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            own = graph.initializer.add()
            own.CopyFrom(shared[node.input[2]])
            own.name = node.input[2] = f"{node.output[0]}_own_zero_point"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone: it warns of unused zero points
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options)


def log_mel_patches(waveform: np.ndarray) -> np.ndarray:
    """Cut a waveform (n,) at 16 kHz into log-mel patches (P, 96, 64), P >= 1.

    The end is zero-padded to a whole patch.
    """
    frames = max(PATCH, 1 + (len(waveform) - WINDOW + HOP - 1) // HOP)
    patches = 1 + -(-(frames - PATCH) // PATCH_HOP)
    frames = PATCH + (patches - 1) * PATCH_HOP
    needed = WINDOW + (frames - 1) * HOP
    padded = np.pad(waveform, (0, max(0, needed - len(waveform))))
    framed = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:frames]
    window = np.hanning(WINDOW + 1)[:-1]  # periodic
    spectrum = np.abs(np.fft.rfft(framed * window, FFT))
    filters = mel_filter_bank(FFT // 2 + 1, 64, 125, 7500, SR, mel_scale="htk")
    filters = filters.T.astype(np.float32, order="C")  # (64, 257), as librosa's
    mel = np.log(spectrum @ filters.T + LOG_OFFSET).astype(np.float32)
    starts = range(0, frames - PATCH + 1, PATCH_HOP)
    return np.stack([mel[start : start + PATCH] for start in starts])
