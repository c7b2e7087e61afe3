"""A training step of the package beside the plain loop, on the same model and examples.

The plain loop batches at random, masks the padding, and computes all logits. Both take
the same examples (AudioCaps captions, prompts as in the profile demo), in turns, and
must give equal losses on one same batch. Printed as a Markdown table.

    python benchmarks/training_step.py [--steps N] [--rounds R] [--dtype auto]
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from tabulate import tabulate

from drcap.captioner.data import Batch, TextOnlyExamples
from drcap.captioner.model import Captioner
from drcap.captioner.prompt import pad
from drcap.config import Config, profile
from drcap.devices import resolve_device, training_dtype
from drcap.environment import hush
from drcap.retrieval import CaptionDatastore
from drcap.retrieval.default import default_captions

DIM = 384
TOLERANCE = {torch.bfloat16: 1e-2, torch.float32: 1e-4}


def length_buckets(captioner: Captioner, config: Config, steps: int) -> list[Batch]:
    """Return the package's batches; embeddings and similar captions are random."""
    captions = default_captions(steps * config.training.batch_size)
    rows = np.random.default_rng(0).standard_normal((len(captions), DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    datastore = CaptionDatastore(captions, rows, "random")
    anything = replace(config.retrieval, sim_min=-1.0, sim_max=1.0)
    examples = TextOnlyExamples(captions, datastore, captioner.prompts, anything)
    return list(examples.epoch(config.training.batch_size, 0, 0, steps))


def at_random(batches: Sequence[Batch]) -> list[Batch]:
    """Regroup the examples of `batches` at random into as many batches."""
    embeddings = torch.cat([batch.embeddings for batch in batches])
    prompts = [prompt for batch in batches for prompt in batch.prompts]
    targets = [target for batch in batches for target in batch.targets]
    order = np.random.default_rng(0).permutation(len(prompts))
    return [
        Batch(embeddings[rows], [prompts[i] for i in rows], [targets[i] for i in rows])
        for rows in order.reshape(len(batches), -1)
    ]


def package_loss(captioner: Captioner, batch: Batch) -> torch.Tensor:
    """The loss as `drcap` computes it."""
    return captioner.loss(batch.embeddings, batch.prompts, batch.targets)


def plain_loss(captioner: Captioner, batch: Batch) -> torch.Tensor:
    """The same loss as a Hugging Face model gives it: all logits, mask and labels."""
    pairs = list(zip(batch.prompts, batch.targets, strict=True))
    ids, mask = pad([p.ids + t for p, t in pairs], captioner.prompts.end_id, "right")
    labels, _ = pad([[-100] * len(p.ids) + t for p, t in pairs], -100, "right")
    slots = torch.tensor([prompt.slot for prompt in batch.prompts])
    ids, mask, labels, slots = (
        tensor.to(captioner.device) for tensor in (ids, mask, labels, slots)
    )
    inputs = captioner.embed(ids, slots, batch.embeddings)
    model = captioner.causal_lm()
    return model(inputs_embeds=inputs, attention_mask=mask, labels=labels).loss


def check_losses(captioner: Captioner, batch: Batch) -> None:
    """Require that both are finite and one definition, on one same batch."""
    captioner.eval()
    with torch.inference_mode():
        ours, plain = package_loss(captioner, batch), plain_loss(captioner, batch)
    assert torch.isfinite(ours), "the package's loss is not finite"
    tolerance = TOLERANCE[captioner.llm.dtype]
    torch.testing.assert_close(ours, plain.float(), atol=tolerance, rtol=0)
    captioner.train()


def seconds_a_step(
    captioner: Captioner,
    loss: Callable[[Captioner, Batch], torch.Tensor],
    batches: Sequence[Batch],
) -> float:
    """Train on `batches` and return the mean time of a step."""
    optimiser = torch.optim.Adam(captioner.trainable().values(), lr=1e-5)
    start = time.perf_counter()
    for batch in batches:
        optimiser.zero_grad()
        loss(captioner, batch).backward()
        optimiser.step()
    if captioner.device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / len(batches)


def measure(captioner: Captioner, loops: dict, rounds: int) -> dict[str, list[float]]:
    """Run each loop's batches in turns; return its seconds a step, a value a round."""
    for loss, batches in loops.values():  # starts the thread pools
        seconds_a_step(captioner, loss, batches[:1])
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for turn in range(rounds):
        for name, (loss, batches) in loops.items():
            part = batches[turn::rounds]
            seconds[name].append(seconds_a_step(captioner, loss, part))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=32, help="batches of each loop")
    parser.add_argument("--rounds", type=int, default=4, help="turns to cut them into")
    parser.add_argument("--dtype", default="auto", help="auto, float32 or bfloat16")
    options = parser.parse_args()
    hush()
    config, device = profile("demo"), resolve_device()
    dtype = training_dtype(options.dtype, device)
    captioner = Captioner.create(DIM, config.captioner, dtype).to(device)
    batches = length_buckets(captioner, config, options.steps)
    check_losses(captioner, batches[0])
    loops = {
        "random batches, all logits": (plain_loss, at_random(batches)),
        "length buckets, captions' logits (drcap)": (package_loss, batches),
    }
    seconds = measure(captioner, loops, options.rounds)

    print(
        f"batch {config.training.batch_size}, {config.captioner.language_model}, "
        f"{dtype}, {device}, {torch.get_num_threads()} threads, "
        f"{options.steps} steps in {options.rounds} rounds\n"
    )
    plain = statistics.mean(next(iter(seconds.values())))
    rows = [
        (
            name,
            *(1e3 * value for value in (mean, min(values), max(values))),
            plain / mean,
        )
        for name, values in seconds.items()
        for mean in [statistics.mean(values)]
    ]
    headers = ["loop", "ms a step", "fastest round", "slowest round", "times as fast"]
    formats = ("", ".0f", ".0f", ".0f", ".2f")
    print(tabulate(rows, headers, tablefmt="github", floatfmt=formats))


if __name__ == "__main__":
    main()
