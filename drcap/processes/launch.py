"""Starting a command again in several processes, which then share its job.

By accelerate's own launcher, but for what that prints where a process fails: the
process has said why in a line. `drcap.processes` is the other end.
"""

import logging
import os
from collections.abc import Sequence

import torch

from drcap.errors import ConfigError


def launch(module: str, arguments: Sequence[str], count: int) -> bool:
    """Run `python -m module arguments` in `count` processes; tell if all succeeded.

    count : at least 2; each has a GPU of its own, or without GPUs a share of the cores.
    ConfigError if there are GPUs, but fewer.
    """
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    command = [*_options(count), "--module", module, *arguments]
    logging.disable(logging.CRITICAL)  # here, not in what is started
    try:
        launch_command(launch_command_parser().parse_args(command))
    except ChildFailedError:
        return False
    except SignalException:
        raise KeyboardInterrupt from None
    finally:
        logging.disable(logging.NOTSET)
    return True


def _options(count: int) -> list[str]:
    """Return the launcher's options, all said so that it neither asks nor warns."""
    gpus = torch.cuda.device_count()
    if 0 < gpus < count:
        raise ConfigError(f"processes: {count} are too many for {gpus} GPU(s)")
    threads = max(1, (os.cpu_count() or 1) // count)
    options = {
        "--num_processes": count,
        "--num_machines": 1,
        "--num_cpu_threads_per_process": threads,
        "--mixed_precision": "no",
        "--dynamo_backend": "no",
        "--main_process_port": 0,  # any that is free
    }
    pairs = [text for pair in options.items() for text in map(str, pair)]
    return ["--multi_gpu", *pairs]  # of processes without GPUs as well
