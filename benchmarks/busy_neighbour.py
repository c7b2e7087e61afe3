"""CLAP's training alone and beside a second one, with idle threads spinning or asleep.

Steps a second of the profile demo's CLAP, audio and text projected and contrasted.

    python benchmarks/busy_neighbour.py [SECONDS]
"""

import os
import subprocess
import sys
import time

from tabulate import tabulate

POLICIES = {"spinning, OpenMP's default": {}, "asleep": {"OMP_WAIT_POLICY": "PASSIVE"}}


def train(seconds: float) -> None:
    """Print "ready", wait for a line, train for `seconds`, print the steps a second."""
    import torch

    from drcap.clap.model import CLAPModel, autocast, contrastive_loss
    from drcap.config import clap_profile
    from drcap.devices import training_dtype
    from drcap.environment import hush

    hush()
    config, device = clap_profile("demo"), torch.device("cpu")
    size, dtype = config.training.micro_batch, training_dtype("auto", device)
    model = CLAPModel(config).train()
    log_mels = torch.randn(size, config.front_end.frames, config.front_end.mels)
    features, clips = torch.randn(size, model.text_encoder.width), torch.arange(size)
    optimiser = torch.optim.Adam(p for p in model.parameters() if p.requires_grad)

    def step() -> None:
        optimiser.zero_grad()
        with autocast(device, dtype):
            audio, text = model.embed_log_mels(log_mels), model.project_text(features)
        contrastive_loss(audio, text, model.temperature, clips).backward()
        optimiser.step()

    step()  # starts the threads
    print("ready", flush=True)
    sys.stdin.readline()
    start, steps = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < seconds:
        step()
        steps += 1
    print(steps / spent)


def rates(count: int, policy: dict[str, str], seconds: str) -> str:
    """Return the steps a second of `count` processes that train at the same time."""
    env = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"} | policy
    command = [sys.executable, __file__, seconds, "worker"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen(command, env=env, **pipes) for _ in range(count)]
    assert all(worker.stdout.readline() == "ready\n" for worker in workers)
    for worker in workers:
        print(file=worker.stdin, flush=True)
    return " and ".join(f"{float(w.communicate()[0]):.2f}" for w in workers)


if __name__ == "__main__":
    length = (sys.argv[1:] or ["30"])[0]
    if sys.argv[2:] == ["worker"]:
        train(float(length))
        sys.exit()
    table = [[k, rates(1, p, length), rates(2, p, length)] for k, p in POLICIES.items()]
    print(tabulate(table, ["idle threads", "alone", "two at once"], tablefmt="pipe"))
