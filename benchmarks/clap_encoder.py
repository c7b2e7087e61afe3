"""Log-mel and audio encoder of the CLAP model beside transformers', at equal size.

The other side is ClapFeatureExtractor followed by ClapAudioModel. Both get the same
clips and weights, in turns, and must give equal features. Printed as a Markdown table.

    python benchmarks/clap_encoder.py [--clips N] [--rounds R] [--profile paper]
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from tabulate import tabulate
from transformers import ClapAudioModel, ClapFeatureExtractor

from drcap.clap.front_end import LogMel, fixed_length
from drcap.clap.model import hts_at
from drcap.config import CLAPConfig, FrontEndConfig, clap_profile
from drcap.devices import resolve_device
from drcap.environment import hush

TOLERANCE = 1e-3  # of features of about 1; float32 here, float64 in the extractor

Waveforms = list[np.ndarray]  # each (n,) float32


def noise(config: FrontEndConfig, count: int) -> Waveforms:
    """Return clips of noise, as long as the model's window."""
    random = np.random.default_rng(0)
    clips = random.standard_normal((count, config.samples)) / 10
    return list(clips.astype(np.float32))


def encoder(config: CLAPConfig, device: torch.device) -> ClapAudioModel:
    """Return a random HTS-AT whose normalisation suits noise."""
    torch.manual_seed(0)
    model = ClapAudioModel(hts_at(config)).eval().to(device)
    model.audio_encoder.batch_norm.running_mean.fill_(-10)
    model.audio_encoder.batch_norm.running_var.fill_(25)
    return model


def package(config: FrontEndConfig, model: ClapAudioModel) -> Callable:
    """Return the package's way: the log-mel is made where the model is."""
    front_end = LogMel(config).to(model.device)

    def features(waveforms: Waveforms) -> torch.Tensor:
        log_mels = front_end(fixed_length(waveforms, config).to(model.device))
        return model(log_mels[:, None]).pooler_output.cpu()

    return features


def plain(config: FrontEndConfig, model: ClapAudioModel) -> Callable:
    """Return transformers' way, with the same settings."""
    extractor = ClapFeatureExtractor(
        **{"feature_size": config.mels, "sampling_rate": config.sr},
        **{"fft_window_size": config.window, "hop_length": config.hop},
        **{"frequency_min": config.low, "frequency_max": config.high},
        **{"max_length_s": config.seconds, "truncation": "rand_trunc"},
        padding="pad",
    )

    def features(waveforms: Waveforms) -> torch.Tensor:
        inputs = extractor(waveforms, sampling_rate=config.sr, return_tensors="pt")
        log_mels = inputs["input_features"].to(model.device)
        return model(log_mels).pooler_output.cpu()

    return features


@torch.inference_mode()
def measure(ways: dict, clips: Waveforms, rounds: int, batch: int) -> dict:
    """Run the ways in turns; return their clips a second, a value a round."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, features in ways.items():
            start = time.perf_counter()
            for first in range(0, len(clips), batch):
                features(clips[first : first + batch])
            speeds[name].append(len(clips) / (time.perf_counter() - start))
    return speeds


@torch.inference_mode()
def check(ways: dict, clips: Waveforms) -> None:
    """Require equal features of the same clips; starts the thread pools as well."""
    first, second = (features(clips) for features in ways.values())
    torch.testing.assert_close(first, second, atol=TOLERANCE, rtol=TOLERANCE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=32, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--profile", default="paper", help="smoke, demo or paper")
    options = parser.parse_args()
    hush()
    config, device = clap_profile(options.profile), resolve_device()
    model = encoder(config, device)
    ways = {
        "ClapFeatureExtractor, ClapAudioModel": plain(config.front_end, model),
        "LogMel, ClapAudioModel (drcap)": package(config.front_end, model),
    }
    clips = noise(config.front_end, options.clips)
    check(ways, clips[: options.batch])
    speeds = measure(ways, clips, options.rounds, options.batch)

    millions = sum(each.numel() for each in model.parameters()) / 1e6
    print(
        f"{options.clips} clips of {config.front_end.seconds:.0f} s in batches of "
        f"{options.batch}, profile {options.profile} ({millions:.1f} M weights), "
        f"float32, {device}, {torch.get_num_threads()} threads, "
        f"{options.rounds} rounds\n"
    )
    reference = statistics.median(next(iter(speeds.values())))
    rows = [
        (name, median, min(values), max(values), median / reference)
        for name, values in speeds.items()
        for median in [statistics.median(values)]
    ]
    headers = ["what", "clips a second", "slowest round", "fastest round"]
    headers += ["times as fast"]
    formats = ("", ".1f", ".1f", ".1f", ".2f")
    print(tabulate(rows, headers, tablefmt="github", floatfmt=formats))


if __name__ == "__main__":
    main()
