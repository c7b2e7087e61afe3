"""What each process of a launch runs: train a tiny captioner, then caption with it.

Called as `launched_captioner.py FOLDER LANGUAGE_MODEL CHANGES STOP_AFTER`.
"""

import json
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from test_training import CAPTIONS, run, toy_config  # noqa: E402

from drcap.captioner.generate import generate  # noqa: E402
from drcap.captioner.model import Captioner  # noqa: E402
from drcap.config import GenerationConfig, override  # noqa: E402
from drcap.processes import Processes  # noqa: E402


def captions_of(run_, config, processes=None):
    """Caption eleven embeddings with what a run kept."""
    best = Captioner.load(run_.best, 32, config.captioner, torch.float32)
    rows = torch.randn(11, 32, generator=torch.Generator().manual_seed(1))
    similar = [CAPTIONS[row : row + row % 4] for row in range(11)]
    settings = GenerationConfig(num_beams=2, max_new_tokens=8, batch_size=2)
    return generate(best, rows, similar, settings, processes)


def main(folder, language_model, changes, stop_after):
    config = override(toy_config(language_model), json.loads(changes))
    finished = run(config, Path(folder), stop_after=int(stop_after) or None)
    processes = Processes("cpu")
    told = {"log": finished.log.train_loss.tolist(), "sharded": processes.sharded}
    if (Path(folder) / "best").exists():
        told["captions"] = captions_of(finished, config, processes)
    path = Path(f"{folder}-{processes.index}-of-{processes.count}.json")
    path.write_text(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
