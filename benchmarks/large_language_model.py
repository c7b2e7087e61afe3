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
from dataclasses import replace
from pathlib import Path

import psutil
import torch
from tabulate import tabulate
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from drcap import paths
from drcap.captioner.generate import generate
from drcap.captioner.language_model import checkpoint_activations, with_adapter
from drcap.captioner.model import Captioner
from drcap.config import Config, override, profile
from drcap.devices import resolve_device
from drcap.estimate.captioner_jobs import (
    CAPTION_TOKENS,
    captioner_cost,
    captioning_cost,
)
from drcap.estimate.cost import OVERHEAD
from drcap.estimate.shapes import LLAMA_7B, LanguageModelShape
from drcap.files import write_json
from drcap.messages import hush
from drcap.runs.provenance import run_record

DIM = 1_024  # D of the paper's CLAP
CAPTION = " ".join(f"word{n}" for n in range(CAPTION_TOKENS - 1))  # and its end
GIB = 2**30


def narrower(shape: LanguageModelShape, share: int) -> LanguageModelShape:
    """Return a shape of as many blocks whose widths are a share of the others."""
    return replace(
        shape,
        width=shape.width // share,
        inner=shape.inner // share,
        heads=max(1, shape.heads // share),
        kv_heads=max(1, shape.kv_heads // share),
    )


def word_tokenizer(shape: LanguageModelShape) -> PreTrainedTokenizerFast:
    """Return a tokenizer of whole words, so that nothing need be fetched."""
    words = [*("<s>", "</s>", "<unk>"), *(f"word{n}" for n in range(1_000))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def random_captioner(
    shape: LanguageModelShape, config: Config, device: torch.device, dtype: torch.dtype
) -> Captioner:
    """Return a captioner whose language model has random weights, made in place."""
    architecture = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.width,
        intermediate_size=shape.inner,
        num_hidden_layers=shape.depth,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        **{"bos_token_id": 0, "eos_token_id": 1},
        attn_implementation="sdpa",
    )
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with device:
            llm = LlamaForCausalLM(architecture)
    finally:
        torch.set_default_dtype(torch.float32)
    assert sum(p.numel() for p in llm.parameters()) == shape.parameters
    captioner = Captioner(llm, word_tokenizer(shape), DIM, config.captioner)
    captioner.llm = with_adapter(captioner.llm, config.captioner)
    return captioner.to(device)


def training_step(captioner: Captioner, config: Config) -> tuple[Callable, int]:
    """Return what makes one optimiser step, and the tokens that it reads."""
    captioner.llm.unmerge_adapter()
    size, k = config.training.batch_size, config.retrieval.top_k
    prompt = captioner.prompts.prompt([CAPTION] * k)
    target = captioner.prompts.target(CAPTION)
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
    similar = [[CAPTION] * config.retrieval.top_k] * settings.batch_size

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


def computed_memory(shape: LanguageModelShape, config: Config, job: str) -> float:
    """Return the memory that the estimate has for a job, in GiB, less its overhead."""
    if job == "beam search":
        cost = captioning_cost(config, shape, config.generation.batch_size)
    else:
        cost = captioner_cost(config, shape, DIM, 1)
    return (cost.memory - OVERHEAD) / GIB


def run(
    shape: LanguageModelShape, config: Config, device: torch.device, rounds: int
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
                "computed_memory_gib": computed_memory(shape, settings, job),
                "computed_memory_of_7b_gib": computed_memory(LLAMA_7B, settings, job),
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
        f"{shape.parameters / 1e9:.2f}e9 parameters (1/{share} of the width of 7B), "
        f"batch {config.training.batch_size} in training, "
        f"{config.generation.batch_size} x {config.generation.num_beams} beams, "
        f"{'bfloat16' if gpu else 'float32'}, {name}, "
        f"{torch.get_num_threads()} threads, {options.rounds} rounds\n"
    )
    columns = [
        "job",
        "seconds",
        "GiB",
        "tokens/s",
        "GiB in bfloat16, computed",
        "the same of 7B",
    ]
    rows = [tuple(each.values()) for each in results]
    formats = ("", ".3f", ".1f", ".0f", ".1f", ".1f")
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
