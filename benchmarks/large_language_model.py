"""A training step and a beam search of a captioner of Vicuna-7B's shape.

The weights are random. On a GPU at full size: time, memory and tokens a second, beside
the memory that `drcap doctor --profile paper` reckons with. Without one, a copy of an
eighth of the width on the CPU, and the full size's memory as computed. Printed as a
Markdown table; written with run.json below reports/benchmarks/large_language_model.

    python benchmarks/large_language_model.py [--rounds R] [--narrower N] [--output DIR]
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import torch
from tabulate import tabulate
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from drcap import paths
from drcap.atomic import write_json
from drcap.captioner.generate import generate
from drcap.captioner.language_model import checkpoint_activations, with_adapter
from drcap.captioner.model import Captioner
from drcap.config import Config, override, profile
from drcap.devices import resolve_device
from drcap.environment import hush
from drcap.estimate import CAPTION, OVERHEAD, captioner_job, captioning_job
from drcap.record import run_record

LLAMA_7B = {  # Vicuna-7B
    "vocab_size": 32_000,
    "hidden_size": 4_096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
}
DIM = 1_024  # D of the paper's CLAP
TEXT = " ".join(f"word{n}" for n in range(CAPTION - 1))  # and its end
GIB = 2**30


def narrower(shape: dict[str, int], share: int) -> dict[str, int]:
    """Return a shape of as many blocks whose widths are a share of the others."""
    kept = ("vocab_size", "num_hidden_layers")
    return {k: n if k in kept else max(1, n // share) for k, n in shape.items()}


def word_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words, so that nothing need be fetched."""
    words = [*("<s>", "</s>", "<unk>"), *(f"word{n}" for n in range(1_000))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def random_captioner(
    shape: dict[str, int], config: Config, device: torch.device, dtype: torch.dtype
) -> Captioner:
    """Return a captioner whose language model has random weights, made in place."""
    ends = {"bos_token_id": 0, "eos_token_id": 1}
    architecture = LlamaConfig(**shape, **ends, attn_implementation="sdpa")
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            llm = LlamaForCausalLM(architecture)
    finally:
        torch.set_default_dtype(torch.float32)
    captioner = Captioner(llm, word_tokenizer(), DIM, config.captioner)
    captioner.llm = with_adapter(captioner.llm, config.captioner)
    return captioner.to(device)


def training_step(captioner: Captioner, config: Config) -> tuple[Callable, int]:
    """Return what makes one optimiser step, and the tokens that it reads."""
    captioner.llm.unmerge_adapter()
    size, k = config.training.batch_size, config.retrieval.top_k
    prompt = captioner.prompts.prompt([TEXT] * k)
    target = captioner.prompts.target(TEXT)
    embeddings = torch.randn(size, DIM)
    optimiser = torch.optim.Adam(captioner.trainable().values(), lr=1e-5)

    def step() -> None:
        captioner.train()
        optimiser.zero_grad()
        loss = captioner.loss(embeddings, [prompt] * size, [target] * size)
        loss.backward()
        optimiser.step()
        assert torch.isfinite(loss), "the loss is not finite"

    return step, size * (len(prompt.ids) + len(target))


def beam_search(captioner: Captioner, config: Config) -> tuple[Callable, int]:
    """Return what captions one batch, and the tokens that its beams write at most."""
    captioner.llm.merge_adapter()  # as a loaded one's is
    settings = config.generation
    embeddings = torch.randn(settings.batch_size, DIM)
    similar = [[TEXT] * config.retrieval.top_k] * settings.batch_size

    def search() -> None:
        generate(captioner.eval(), embeddings, similar, settings)

    return search, settings.batch_size * settings.num_beams * settings.max_new_tokens


def measure(work: Callable, device: torch.device, rounds: int) -> dict[str, float]:
    """Run `work` once to warm up, then `rounds` times; mean seconds and peak memory."""
    work()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    _wait(device)
    start = time.perf_counter()
    for _ in range(rounds):
        work()
    _wait(device)
    return {
        "seconds": (time.perf_counter() - start) / rounds,
        "memory_gib": _memory(device) / GIB,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return psutil.Process().memory_info().rss


def computed_memory(config: Config, job: str) -> float:
    """Return the memory that the estimate has for a job of 7B, less its overhead."""
    job = (
        captioning_job(config, 1)
        if job == "beam search"
        else captioner_job(config, DIM, 1)
    )
    return (job.memory - OVERHEAD) / GIB


def run(
    shape: dict[str, int], config: Config, device: torch.device, rounds: int
) -> list[dict]:
    """Measure both jobs, the training step with and without checkpointing."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    captioner = random_captioner(shape, config, device, dtype)
    checkpointed = override(config, {"training": {"gradient_checkpointing": True}})
    results = []
    for job, settings, make in (
        ("beam search", config, beam_search),
        ("training step", config, training_step),
        ("training step, checkpointing", checkpointed, training_step),
    ):
        if settings.training.gradient_checkpointing:
            checkpoint_activations(captioner.causal_lm())
        work, tokens = make(captioner, settings)
        found = measure(work, device, rounds)
        results.append(
            {
                "job": job,
                **found,
                "tokens_per_second": tokens / found["seconds"],
                "parameters": sum(p.numel() for p in captioner.parameters()),
                "computed_memory_of_7b_gib": computed_memory(settings, job),
            }
        )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="steps that are timed")
    parser.add_argument("--narrower", type=int, help="1 on a GPU, 8 on a CPU")
    parser.add_argument("--output", type=Path, help="folder of the result")
    options = parser.parse_args()
    hush()
    started, device = time.time(), resolve_device()
    gpu = device.type == "cuda"
    name = torch.cuda.get_device_name() if gpu else "cpu"
    share = options.narrower or (1 if gpu else 8)
    shape = narrower(LLAMA_7B, share)
    generation = {"generation": {"max_new_tokens": 25}}
    config = override(profile("paper"), generation)
    results = run(shape, config, device, options.rounds)

    print(
        f"{results[0]['parameters'] / 1e9:.2f}e9 parameters (1/{share} of 7B's width), "
        f"batch {config.training.batch_size} in training, "
        f"{config.generation.batch_size} x {config.generation.num_beams} beams, "
        f"{'bfloat16' if gpu else 'float32'}, {name}, "
        f"{torch.get_num_threads()} threads, {options.rounds} rounds\n"
    )
    columns = ["job", "seconds", "GiB", "tokens/s", "GiB of 7B in bfloat16, computed"]
    rows = [
        [value for name, value in each.items() if name != "parameters"]
        for each in results
    ]
    formats = ("", ".3f", ".1f", ".0f", ".1f")
    print(tabulate(rows, columns, tablefmt="github", floatfmt=formats))
    slug = name.lower().replace(" ", "-")
    default = paths.REPORTS / "benchmarks" / "large_language_model" / slug
    _write(options.output or default, results, shape, config, name, started)


def _write(folder: Path, results, shape, config, name: str, started: float) -> None:
    write_json(folder / "result.json", {"device": name, "jobs": results})
    record = run_record(started=started, seed=0, config=config, shape=shape)
    write_json(folder / "run.json", record)


if __name__ == "__main__":
    main()
