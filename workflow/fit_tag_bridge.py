"""Fit the shipped tag bridge to AudioCaps' training captions (about a minute).

python -m workflow.fit_tag_bridge
"""

import time

from drcap import assets
from drcap.clap.sentence_encoder import SentenceEncoder
from drcap.clap.tag_bridge import FITTED
from drcap.clap.tag_bridge_fit import fit, save
from drcap.clap.yamnet import YAMNet
from drcap.data.audiocaps import read_training_captions
from drcap.files import write_json
from drcap.messages import hush
from drcap.runs.provenance import run_record


def main() -> None:
    """Write drcap/checkpoints/tag_bridge.safetensors and the run's record beside it."""
    hush()
    started = time.time()
    source = assets.asset_path("audiocaps-captions") / "train_v2.csv"
    class_names = YAMNet(assets.asset_path("yamnet")).class_names
    sentences = SentenceEncoder(assets.resolve_model("all-minilm-l6-v2"))
    save(fit(class_names, read_training_captions(source), sentences), FITTED)
    record = run_record(started=started, inputs=[source])
    write_json(FITTED.with_suffix(".json"), record)


if __name__ == "__main__":
    main()
