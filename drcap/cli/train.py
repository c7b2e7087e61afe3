"""`drcap train`: CLAP, captioner, bridge, systems; `drcap experiment`: the grid.

A killed training resumes when the command is called again. Under `accelerate launch -m
drcap.cli train ...` processes share each batch of CLAP or captioner; on a CPU give
`--device cpu` and launch with `--multi_gpu` all the same.
"""

import json
import os
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from drcap import paths
from drcap.cli import options
from drcap.cli.options import argument, option
from drcap.systems import SYSTEMS

if TYPE_CHECKING:
    from drcap.config import Config
    from drcap.processes import Processes
    from drcap.retrieval import CaptionDatastore

app = typer.Typer(
    help="Train CLAP, a captioner, the caption bridge or a system of the tables.",
    no_args_is_help=True,
)
RUNS = "below runs/ in drcap's cache"
NAMES = "As drcap_ac_to_cl_wo_pd_seed_0: system, train to test, ablation, seed."
Tracker = option(str | None, "Log to tensorboard or wandb as well.")
Output = option(Path | None, "Folder of the run.", default=RUNS)


@app.command()
def clap(
    profile: options.Profile = "demo",
    seed: options.Seed = 0,
    setting: options.Setting = None,
    corpora: option(Path | None, "Folder of the corpora.", default="built") = None,
    output: Output = None,
    initial: option(Path | None, "A CLAP model's folder to start from.") = None,
    device: options.Device = "auto",
    tracker: Tracker = None,
) -> None:
    """Train a profile's CLAP model on weak captions, the targets' clips removed.

    Writes config.json, log.csv, state.safetensors, model/ and run.json.
    """
    from drcap.atomic import write_json
    from drcap.cache import run_folder
    from drcap.clap.train import run_key, train_clap
    from drcap.config import clap_profile
    from drcap.data import corpora as datasets
    from drcap.record import RECORD, run_record

    started = time.time()
    config = options.changed(clap_profile(profile), setting, seed=seed)
    output = output and options.writable(output)
    data = datasets.corpora(profile, corpora)
    clips, validation = data.pairs, data.clips("ac", "val")
    name, key = f"clap-{profile}-seed-{seed}", run_key(config, clips, initial)
    folder = output or run_folder(name, key)
    more = {"initial": initial, "tracker": tracker}
    run = train_clap(
        config, clips, folder, validation=validation, device=device, **more
    )
    if os.environ.get("RANK", "0") != "0":  # one of the processes reports
        return
    if not (folder / RECORD).exists():  # a finished run keeps its record
        inputs = [folder / "config.json"]  # has the hash of the clips
        facts = {"seed": seed, "config": config, "inputs": inputs}
        record = run_record(started=started, **facts, corpora=data.config)
        write_json(folder / RECORD, record)
    last = run.log.iloc[-1]
    print(
        f"{run.model}: {last.step:.0f} steps, loss {last.loss:.3f}, audio-to-text "
        f"R@10 {last.recall_at_10:.2f} among the validation clips"
    )


@app.command()
def captioner(
    profile: options.Profile = "demo",
    config: option(Path | None, "A run's config.json, for profile.") = None,
    seed: options.Seed = 0,
    setting: options.Setting = None,
    captions: option(Path | None, "File of them.", default=options.CAPTIONS) = None,
    stop_after: option(int | None, "Leave the schedule at this step.") = None,
    output: Output = None,
    save: option(Path | None, "Folder of the model, for --checkpoint.") = None,
    device: options.Device = "auto",
    tracker: Tracker = None,
) -> None:
    """Train a captioner on captions alone.

    Writes config.json, log.csv, state.safetensors, best/ and run.json. Where memory
    is short: --set training.micro_batch=1, --set training.gradient_checkpointing=true,
    --set captioner.quantisation=nf4.
    """
    from drcap.atomic import write_json
    from drcap.cache import digest, run_folder
    from drcap.captioner.train import FREE, train
    from drcap.config import Config, override
    from drcap.config import profile as named
    from drcap.processes import Processes
    from drcap.record import RECORD, run_record

    started = time.time()
    plan = named(profile)
    if config:
        plan = Config.from_dict(json.loads(config.read_text(encoding="utf-8")))
    plan = options.changed(plan, setting, seed=seed)
    for folder in filter(None, (output, save)):
        options.writable(folder)
    processes = Processes(device)
    texts, datastore = _data(plan, captions, processes)
    key = [override(plan, FREE).to_dict(), datastore.fingerprint, digest(texts)]
    folder = output or run_folder(f"captioner-{profile}-seed-{seed}", key)
    more = {"stop_after": stop_after, "device": device, "tracker": tracker}
    run = train(plan, texts, datastore, folder, **more)
    if not processes.main:  # one of the processes reports
        return
    losses = run.log.validation_loss.dropna()
    record = run_record(
        started=started,
        seed=seed,
        config=plan,
        inputs=[folder / "config.json", *filter(None, [captions])],
        processes=processes.count,
        steps_scheduled=plan.training.steps,
        steps_done=len(run.log),
        best_step=int(run.log.step[losses.idxmin()]) if len(losses) else None,
    )
    write_json(folder / RECORD, record)
    if save:
        _save(run.best, save, plan)
    lowest = f"{losses.min():.3f}" if len(losses) else "not measured yet"
    print(f"{save or run.best}: {len(run.log)} steps, validation loss {lowest}")


def _data(
    config: "Config", captions: Path | None, processes: "Processes"
) -> tuple[list[str], "CaptionDatastore"]:
    """Return training captions and datastore; the first process makes what is kept."""
    from drcap.data.clip import read_captions
    from drcap.load import load_clap
    from drcap.retrieval import CaptionDatastore
    from drcap.retrieval.default import default_captions, default_datastore

    clap = load_clap(config.clap, str(processes.device))
    if captions is not None:
        texts = read_captions(captions)
        return texts, CaptionDatastore.build(texts, clap, progress=processes.main)
    sample = config.captions, config.seed
    with processes.main_first():
        datastore = default_datastore(clap, *sample)
    return default_captions(*sample), datastore


def _save(best: Path, target: Path, config: "Config") -> None:
    """Place a run's best state with its settings, log and record as one folder."""
    from drcap.atomic import atomic_folder, write_json
    from drcap.record import RECORD

    with atomic_folder(target) as folder:
        shutil.copytree(best, folder, dirs_exist_ok=True)
        for name in ("log.csv", RECORD):
            shutil.copy(best.parent / name, folder)
        write_json(folder / "config.json", config.to_dict())


@app.command()
def bridge(
    output: option(Path | None, "Folder.", default="the shipped one") = None,
    seed: options.Seed = 0,
):
    """Fit the caption bridge to AudioCaps' training captions, in some minutes."""
    from drcap import assets
    from drcap.atomic import write_json
    from drcap.clap.bridge import FITTED, FOLDER, STATISTICS, fit, read_statistics, save
    from drcap.clap.text_encoder import SentenceEncoder
    from drcap.clap.yamnet import YAMNet
    from drcap.record import RECORD, run_record
    from drcap.retrieval.default import default_captions

    started, folder = time.time(), options.writable(output or FOLDER)
    statistics = read_statistics()
    class_names = YAMNet(assets.asset_path("yamnet")).class_names
    sentences = SentenceEncoder(assets.resolve_model("all-minilm-l6-v2"))
    fitted = fit(class_names, default_captions(), sentences, statistics, seed=seed)
    save(fitted, folder / FITTED)
    source = assets.asset_path("audiocaps-captions") / "train_v2.csv"
    inputs = [source, FOLDER / STATISTICS]
    write_json(folder / RECORD, run_record(started=started, seed=seed, inputs=inputs))
    print(folder / FITTED)


def _add_system(name: str) -> None:
    row, trains = SYSTEMS[name].row, SYSTEMS[name].trains or "nothing"

    @app.command(name, help=f"Train {row} as in the grid: {trains}.")
    def system(
        domain: option(str, "Whose captions or clips train it: ac or cl.") = "ac",
        ablation: option(str, 'Of DRCap, as "w/o SS".') = "",
        profile: options.Profile = "demo",
        seed: options.Seed = 0,
        save: option(Path | None, "Write the result to this folder as well.") = None,
    ) -> None:
        from drcap.experiments.grid import Experiment
        from drcap.experiments.materials import Materials
        from drcap.experiments.run import load_system

        experiment = Experiment(domain, domain, name, ablation, seed)
        target = save and options.writable(save)
        trained = load_system(experiment, Materials(profile))
        if target:
            trained.save(target)
        print(f"{target or experiment.training.name}: trained, profile {profile}")


for _name in SYSTEMS:
    _add_system(_name)


def experiment(
    names: argument(list[str] | None, "NAME", NAMES) = None,
    train: option(list[str] | None, "Train it too, without captions.") = None,
    captions_only: option(bool, "Do not score.", "--captions-only") = False,
    profile: options.Profile = "demo",
    reports: option(Path, "Where results go.", default="reports/") = paths.REPORTS,
) -> None:
    """Train, caption and score experiments, doing only what is missing or stale.

    Results are in reports/<profile>: predictions.parquet, a row an experiment and
    clip, and run.json. A killed training resumes.
    """
    from drcap.experiments import run
    from drcap.experiments.grid import named
    from drcap.experiments.materials import Materials
    from drcap.experiments.results import read_facts

    experiments = [named(name) for name in names or ()]
    trainings = [named(name) for name in train or ()]
    folder = options.writable(reports / profile)
    materials = Materials(profile)
    known = {} if captions_only else read_facts(folder)
    stale = [e for e in experiments if not run.is_captioned(e, materials, known)]
    for training in dict.fromkeys([*(e.training for e in stale), *trainings]):
        system = run.load_system(training, materials)
        for each in stale:
            if each.training == training:
                run.write_captions(each, materials, system)
    if not captions_only:
        for each, scores in run.complete(experiments, materials, folder).items():
            print(f"{each.name}: {scores.clips} clips scored")
