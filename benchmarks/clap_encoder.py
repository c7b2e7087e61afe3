"""From recordings to audio embeddings of the CLAP model, beside laion_clap's way.

Two stages: log-mel and audio encoder alone, and the whole way from files. The other
side is ClapFeatureExtractor and ClapAudioModel, fed by librosa file by file as
laion_clap's get_audio_embedding_from_filelist does. Clips and weights are the same, in
turns, and embeddings must agree. Printed as a Markdown table, in some two minutes.

    python benchmarks/clap_encoder.py [--clips N] [--rounds R] [--profile paper]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch
from tabulate import tabulate
from torch.nn import functional as F
from transformers import ClapAudioModel, ClapFeatureExtractor

from drcap.clap.batches import encode_recordings
from drcap.clap.front_end import LogMel
from drcap.clap.model import TorchCLAP, hts_at
from drcap.config import CLAPConfig, FrontEndConfig, clap_profile
from drcap.devices import resolve_device
from drcap.environment import hush

SR = 44_100  # Hz, of the files, so that they are resampled
COSINE = {"float32": 1 - 1e-5, "bfloat16": 0.99, "float16": 0.99}  # at least

Embed = Callable[[list], torch.Tensor]  # of waveforms or files


class Encoder(TorchCLAP):
    """HTS-AT without a projection head; it reads no text."""

    fingerprint, temperature = "benchmark", 1.0

    def embed_log_mels(self, log_mels: torch.Tensor) -> torch.Tensor:
        features = self.model(input_features=log_mels[:, None]).pooler_output
        return F.normalize(features.float(), dim=-1)

    def embed_text(self, captions):
        raise NotImplementedError


def write_noise(folder: Path, config: FrontEndConfig, count: int) -> list[Path]:
    """Write clips of noise, as long as the model's window; return their paths."""
    random, paths = np.random.default_rng(0), []
    for number in range(count):
        noise = random.standard_normal(round(config.seconds * SR)) / 10
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], noise, SR)
    return paths


def audio_model(config: CLAPConfig, device: torch.device) -> ClapAudioModel:
    """Return a random HTS-AT whose normalisation suits noise."""
    torch.manual_seed(0)
    model = ClapAudioModel(hts_at(config)).eval().to(device)
    model.audio_encoder.batch_norm.running_mean.fill_(-10)
    model.audio_encoder.batch_norm.running_var.fill_(25)
    return model


def plain(config: FrontEndConfig, model: ClapAudioModel) -> Embed:
    """Return transformers' way from waveforms, with the same settings."""
    extractor = ClapFeatureExtractor(
        **{"feature_size": config.mels, "sampling_rate": config.sr},
        **{"fft_window_size": config.window, "hop_length": config.hop},
        **{"frequency_min": config.low, "frequency_max": config.high},
        **{"max_length_s": config.seconds, "truncation": "rand_trunc"},
        padding="pad",
    )

    def embed(waveforms: list) -> torch.Tensor:
        inputs = extractor(waveforms, sampling_rate=config.sr, return_tensors="pt")
        log_mels = inputs["input_features"].to(model.device)
        return F.normalize(model(log_mels).pooler_output, dim=-1).cpu()

    return embed


def ways_of(config: CLAPConfig, model: ClapAudioModel, batch: int) -> dict:
    """Return the ways by stage and name; the first of each stage is the reference."""
    settings, extract = config.front_end, plain(config.front_end, model)
    front_end, dim = LogMel(settings).to(model.device), model.config.hidden_size
    ours = {name: Encoder(model, front_end, dim, name) for name in ("auto", "fastest")}

    def in_batches(embed: Embed, load: Callable) -> Embed:
        def embed_all(items: list) -> torch.Tensor:
            starts = range(0, len(items), batch)
            parts = (items[start : start + batch] for start in starts)
            return torch.cat([embed([load(item) for item in part]) for part in parts])

        return embed_all

    def from_files(clap: Encoder) -> Embed:
        options = {"batch_size": batch, "progress": False}
        return lambda paths: torch.from_numpy(encode_recordings(paths, clap, **options))

    def load(path: Path) -> np.ndarray:
        return librosa.load(path, sr=settings.sr)[0]

    def name(clap: Encoder) -> str:
        return f"drcap, {str(clap.dtype).removeprefix('torch.')}"

    waveforms = {"transformers": in_batches(extract, lambda waveform: waveform)}
    files = {"librosa, transformers": in_batches(extract, load)}
    for clap in ours.values():  # one where the fastest is the usual precision
        waveforms[name(clap)] = in_batches(clap.encode_audio, lambda wave: wave)
        files[name(clap)] = from_files(clap)
    return {"log-mel and encoder": waveforms, "files to embeddings": files}


@torch.inference_mode()
def measure(ways: dict[str, Embed], items: list, rounds: int) -> dict:
    """Run the ways in turns; return their clips a second, a value a round.

    The first run of each starts thread pools and is compared with the reference.
    """
    reference, speeds = None, {}
    for name, embed in ways.items():
        rows = embed(items[:8])
        reference = rows if reference is None else reference
        wanted = COSINE.get(name.rpartition(" ")[2], 1 - 1e-5)
        assert (rows * reference).sum(1).min() > wanted, name
        speeds[name] = []
    for _ in range(rounds):
        for name, embed in ways.items():
            start = time.perf_counter()
            embed(items)
            speeds[name].append(len(items) / (time.perf_counter() - start))
    return speeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=24, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--profile", default="paper", help="smoke, demo or paper")
    options = parser.parse_args()
    hush()
    config, device = clap_profile(options.profile), resolve_device()
    model, rows = audio_model(config, device), []
    with tempfile.TemporaryDirectory() as folder:
        files = write_noise(Path(folder), config.front_end, options.clips)
        loaded = [librosa.load(path, sr=config.front_end.sr)[0] for path in files]
        stages = ways_of(config, model, options.batch)
        for (stage, ways), items in zip(stages.items(), (loaded, files), strict=True):
            speeds = measure(ways, items, options.rounds)
            reference = statistics.median(next(iter(speeds.values())))
            for name, values in speeds.items():
                median = statistics.median(values)
                ends = min(values), max(values)
                rows.append((stage, name, median, *ends, median / reference))
    millions = sum(each.numel() for each in model.parameters()) / 1e6
    print(
        f"{options.clips} clips of {config.front_end.seconds:.0f} s in batches of "
        f"{options.batch}, profile {options.profile} ({millions:.1f} M weights), "
        f"{device}, {torch.get_num_threads()} threads, {options.rounds} rounds\n"
    )
    headers = ["stage", "what", "clips a second", "slowest round", "fastest round"]
    headers += ["times as fast"]
    formats = ("", "", ".1f", ".1f", ".1f", ".2f")
    print(tabulate(rows, headers, tablefmt="github", floatfmt=formats))


if __name__ == "__main__":
    main()
