"""Hours, memory and disk of a profile's jobs, before any of them starts.

A job takes its floating-point operations at a share of the machine's speed, or the time
of its processor cores where that is longer. Rough, for choosing a machine: a run's own
record holds what it took. Facts on models, data and GPUs are in estimate.toml.
"""

import os
import timeit
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from drcap import config as configs
from drcap.config import Config, SoundscapesConfig
from drcap.experiments.grid import DOMAINS, table_experiments
from drcap.systems import SYSTEMS

GIB = 2**30
OVERHEAD = 1.5 * GIB  # bytes of a GPU's context, workspace and fragments
ADAM = 16  # bytes a trained weight: itself, its gradient and two moments in float32
KEPT = 42  # bytes a token, width and block that a training step keeps to go back
NF4 = 0.6  # bytes a weight in 4 bit, the vocabulary's in 16 included
CAPTION, INSTRUCTION, WRITTEN = 14, 20, 25  # tokens, the last a beam search's
SECONDS = {"ac": 10.0, "cl": 22.5}  # of a clip, on average
CAPTIONS = {"ac": 1, "cl": 5}  # of a training clip
FLAC = 36_000  # bytes of a second of sound
BUILD, READ = 0.01, 0.02  # core-seconds to build a second of sound, to read a clip
LARGE, SMALL, SEARCH = 0.4, 0.25, 0.05  # shares of a GPU's peak that jobs reach
CPU_SHARE = {LARGE: 0.4, SMALL: 0.25, SEARCH: 0.25}  # of the speed that is measured
FLOAT32_GAIN = 2.0  # float32 jobs reach twice that share (measured on AMD EPYC, AVX2)


@dataclass(frozen=True)
class Machine:
    """A GPU by its data sheet (dense bfloat16), or this machine."""

    name: str
    speed: float  # operations/s
    memory: float  # bytes that a program gets
    cores: int = 16  # of processors, beside a GPU an assumption
    gain: float | None = None  # None: a GPU; else what CPU_SHARE is multiplied by


FACTS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
GPUS = tuple(Machine(**gpu) for gpu in FACTS["gpu"])


@dataclass(frozen=True)
class Job:
    """What one job of a profile takes."""

    name: str
    operations: float = 0.0
    memory: float = 0.0  # bytes
    disk: float = 0.0  # bytes that it leaves
    share: float = LARGE
    core_seconds: float = 0.0

    def hours(self, machine: Machine) -> float | None:
        """Return the hours on a machine; None where the job does not fit."""
        if self.memory > machine.memory:
            return None
        share = self.share
        if machine.gain is not None:
            share = machine.gain * CPU_SHARE[share]
        computing = self.operations / (machine.speed * share)
        return max(computing, self.core_seconds / machine.cores) / 3_600


def profile_table(name: str, machines: Sequence[Machine] = ()) -> pd.DataFrame:
    """Return what a profile's jobs take, a row each; ConfigError if it is unknown.

    machines : by default the named GPUs and this machine
    Columns: disk_gib, memory_gib (of one card), and the hours on each machine, NaN
    where the job does not fit. The last row is the whole profile's.
    """
    jobs, machines = profile_jobs(name), machines or (*GPUS, this_machine())
    takes = {
        "disk_gib": [job.disk / GIB for job in jobs],
        "memory_gib": [job.memory / GIB for job in jobs],
    }
    hours = {each.name: [job.hours(each) for job in jobs] for each in machines}
    table = pd.DataFrame(takes | hours, [job.name for job in jobs], dtype=float)
    largest = table["memory_gib"].max()
    table.loc["all, notebooks apart"] = table.sum(skipna=False)
    table.iloc[-1, 1] = largest
    return table.rename_axis("job")


def profile_jobs(name: str) -> list[Job]:
    """Return the jobs of a profile, in the order they run; ConfigError if unknown."""
    grid, clap = configs.experiments_profile(name), configs.clap_profile(name)
    clips, pairs, weak, seconds, procedural = _sizes(name)
    captions = weak + sum(CAPTIONS[domain] * clips[domain][0] for domain in DOMAINS)
    facts = FACTS["clap"][str(clap.dim)]
    settings, own = clap.training, grid.captioner
    cached = 2 * clap.front_end.frames * clap.front_end.mels * settings.cache_log_mels
    learned, frozen = ADAM * facts["trained"], 4 * facts["frozen"]
    memory = learned + frozen + settings.micro_batch * facts["kept"] + OVERHEAD

    def contrastive(label: str, count: float, epochs: int) -> Job:
        reading = READ * count * (1 if cached else epochs)
        operations = facts["pair"] * count * epochs
        return Job(label, operations, memory, learned + cached * count, SMALL, reading)

    targets = sum(clips[domain][0] for domain in DOMAINS)
    experiments = table_experiments()
    runs = {each.training for each in experiments if SYSTEMS[each.system].trains}
    steps = {"ac": own.training.steps, "cl": grid.steps_on_cl}
    total = sum(steps[run.train] for run in runs)
    tested = sum(clips[each.test][2] for each in experiments)
    language_model = FACTS["language_model"][own.captioner.language_model]
    return [
        Job("language model", disk=2 * language_model["weights"]),
        Job("corpora", disk=FLAC * seconds, core_seconds=BUILD * seconds * procedural),
        contrastive("CLAP", pairs, settings.epochs),
        contrastive("CLAP, targets seen", targets, grid.seen_epochs),
        Job(
            *("datastore", captions * facts["caption"], (frozen or 500e6) + OVERHEAD),
            *(captions * (4 * clap.dim + 60), SMALL),
        ),
        captioner_job(own, clap.dim, total, len(runs)),
        captioning_job(own, tested),
    ]


def _sizes(name: str) -> tuple[dict[str, tuple], float, float, float, bool]:
    """Return clips a domain and subset, pairs, weak captions, seconds, procedural."""
    config = configs.corpora_profile(name)
    if procedural := isinstance(config, SoundscapesConfig):
        targets, seconds = config, SECONDS["ac"] * config.weak
        pairs = weak = config.weak * (1 - config.leaked)
    else:
        targets = configs.soundscapes_profile("paper")  # has the real datasets' sizes
        published = FACTS["published"]
        sources = [published[each] for each in (*config.wavcaps, *config.soundvecaps)]
        pairs = sum(count for count, _ in sources)
        share = min(1.0, (config.weak_clips or pairs) / pairs)
        weak = share * sum(published[source][0] for source in config.wavcaps)
        seconds = share * 3_600 * sum(hours for _, hours in sources)
        pairs *= share
    clips = {domain: getattr(targets, domain) for domain in DOMAINS}
    seconds += sum(SECONDS[domain] * sum(clips[domain]) for domain in DOMAINS)
    return clips, pairs, weak, seconds, procedural


def captioner_job(config: Config, dim: int, steps: int, runs: int = 1) -> Job:
    """Return the training of `runs` captioners, so many steps in all, D = `dim`."""
    settings, own = config.training, config.captioner
    weights, width, blocks = _language_model(config)
    tokens, again = _prompt(config) + CAPTION, settings.gradient_checkpointing
    examples = settings.batch_size * steps * (2 + again)  # two: most weights are frozen
    examples += settings.validation_captions * (steps // settings.validate_every)
    rows = settings.micro_batch or settings.batch_size
    kept = rows * tokens * width * (KEPT + 2 * blocks if again else KEPT * blocks)
    adapter = 2 * own.lora_r * width * len(own.lora_targets) * blocks * own.lora
    trained = ADAM * (dim * width + adapter)
    each = NF4 if own.quantisation == "nf4" else 2
    memory = each * weights + trained + kept + OVERHEAD
    operations = 2 * weights * tokens * examples
    return Job(f"{runs} captioners", operations, memory, runs * trained)


def captioning_job(config: Config, clips: int) -> Job:
    """Return the beam search for so many clips."""
    settings, prompt = config.generation, _prompt(config)
    weights, width, blocks = _language_model(config)
    tokens = prompt + settings.num_beams * min(settings.max_new_tokens, WRITTEN)
    held = settings.batch_size * settings.num_beams * (prompt + settings.max_new_tokens)
    memory = 2 * weights + 4 * blocks * width * held + OVERHEAD
    operations = 2 * weights * tokens * clips
    return Job(f"{clips:,} captions", operations, memory, 400 * clips, SEARCH)


def _language_model(config: Config) -> tuple[float, int, int]:
    """Return weights, width and number of the blocks that are used."""
    facts = FACTS["language_model"][config.captioner.language_model]
    used = config.captioner.language_model_blocks or facts["blocks"]
    return facts["weights"] * used / facts["blocks"], facts["width"], used


def _prompt(config: Config) -> int:
    similar = config.retrieval.top_k if config.retrieval.enabled else 0
    return INSTRUCTION + similar * CAPTION


def this_machine() -> Machine:
    """Return this machine, its speed measured by a matrix product in a second."""
    import torch

    from drcap.devices import fastest_dtype, resolve_device
    from drcap.doctor import memory_facts

    device = resolve_device()
    dtype = fastest_dtype(device)
    side = 2_048 if device.type == "cpu" else 8_192
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in "ab")
    # one number of the product, which waits for a GPU; the first starts what there is
    seconds = timeit.repeat(lambda: (left @ right)[0, 0].item(), number=1, repeat=4)[1:]
    speed, cores = 2 * side**3 / min(seconds), os.cpu_count() or 1
    if device.type == "cuda":
        gpu = torch.cuda.get_device_properties(0)
        return Machine(f"here: {gpu.name}", speed, gpu.total_memory, cores)
    gain = FLOAT32_GAIN if dtype is torch.float32 else 1.0
    memory = memory_facts()["total_gib"] * GIB
    return Machine("here: CPU", speed, memory, cores, gain)
