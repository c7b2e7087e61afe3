import json

import pytest
from doubles_cli import FakeDRCap
from doubles_datasets import make_clotho

from drcap import paths
from drcap.cli import evaluate
from drcap.evaluation import engine, metrics
from drcap.systems.drcap import DRCap

OUTPUT = "reports/evaluation"
HEADER = "audiocap_id,youtube_id,start_time,caption\n"


@pytest.fixture
def model(monkeypatch):
    model = FakeDRCap()
    monkeypatch.setattr(DRCap, "from_pretrained", model.from_pretrained)
    # neither Java nor a sentence encoder: the words as they are, and a constant
    monkeypatch.setattr(
        engine, "ptb_tokenise", lambda texts: [t.lower() for t in texts]
    )
    computed = ("cider_d", "rouge_l", "bleu_1", "vocab")
    quick = {name: metrics.METRICS[name] for name in computed}
    monkeypatch.setattr(metrics, "METRICS", quick)
    return model


@pytest.fixture
def root(tmp_path):
    """Return a copy of AudioCaps: two clips to read, one bad, one missing."""
    folder = tmp_path / "audiocaps"
    folder.mkdir()
    rows = [HEADER]
    for number, name in enumerate(("dog", "badclip", "cat", "gone")):
        rows.append(f"{number},{name},30,A {name} makes a sound\n")
        rows.append(f"{number}5,{name},30,Noise of a {name}\n")
        if name != "gone":
            (folder / f"{name}_30.wav").touch()
    (folder / "val.csv").write_text("".join(rows))
    return folder


@pytest.fixture
def drcap_evaluate(monkeypatch, drcap, tmp_path):
    """Run the command outside of a checkout; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(paths, "REPOSITORY", tmp_path / "site-packages")
    return lambda *arguments: drcap("evaluate", *arguments)


def on(root, split="val", dataset="audiocaps"):
    return ["--dataset", dataset, "--root", root, "--split", split]


def test_json_is_one_object_with_a_score_a_metric(model, root, drcap_evaluate):
    code, out, _ = drcap_evaluate(*on(root), "--json")
    found = json.loads(out)
    assert code == 2  # one clip could not be read
    assert found["scores"]["rouge_l"] == pytest.approx(1.0)
    assert found["scores"]["vocab"] == 5  # a dog cat makes sound
    assert (found["dataset"], found["split"]) == ("audiocaps", "val")
    counts = [found[key] for key in ("clips", "missing_clips", "failed_clips")]
    assert counts == [2, 1, 1]
    assert found["unavailable"] == {}
    assert found["seconds"] >= 0
    assert found["predictions"] == "reports/evaluation/audiocaps-val/predictions.jsonl"


def test_missing_and_bad_clips_are_reported(model, root, drcap_evaluate):
    _, out, err = drcap_evaluate(*on(root))
    assert "1 clips of audiocaps val have no recording" in err
    assert f"drcap: {root / 'badclip_30.wav'}: is not audio" in err
    assert "2 clips scored, 1 missing, 1 failed" in out


def test_the_table_names_its_metrics(model, root, drcap_evaluate):
    _, out, _ = drcap_evaluate(*on(root))
    header = next(line for line in out.splitlines() if line.startswith("| system"))
    assert [cell.strip() for cell in header.strip("|").split("|")][1:] == [
        "CIDEr-D",
        "ROUGE-L",
        "BLEU-1",
        "distinct words",
        "clips",
    ]


def test_predictions_scores_and_run_are_saved(model, root, drcap_evaluate, tmp_path):
    output = tmp_path / "out"
    _, out, _ = drcap_evaluate(*on(root), "--json", "--output", output, "--beams", 2)
    lines = (output / "predictions.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert [json.loads(line)["clip_id"] for line in lines] == ["dog_30", "cat_30"]
    assert first["candidate"] == "A dog makes a sound"
    assert first["similar_captions"] == [{"caption": "A dog calls", "similarity": 0.75}]
    scores = json.loads((output / "scores.json").read_text())
    assert len(scores.pop("per_clip")["rouge_l"]) == 2
    assert scores == json.loads(out)
    run = json.loads((output / "run.json").read_text())
    assert run["seed"] == 7 and run["config"]["clap"] == "caption-bridge"
    assert run["options"]["caption"]["beams"] == 2
    assert run["missing_clips"] == ["gone_30"]
    assert run["failed_clips"][0]["file"] == str(root / "badclip_30.wav")
    assert str(root / "val.csv") in run["inputs"]


def test_one_clip_leaves_cider_d_without_a_value(model, root, drcap_evaluate):
    code, out, _ = drcap_evaluate(*on(root), "--json", "--limit", 1)
    found = json.loads(out)
    assert code == 0
    assert found["scores"]["cider_d"] is None
    assert found["unavailable"] == {"cider_d": "CIDEr-D needs at least two clips"}
    code, out, _ = drcap_evaluate(*on(root), "--limit", 1)
    assert "Not computed: CIDEr-D (CIDEr-D needs at least two clips)." in out


def test_a_named_metric_that_fails_keeps_the_predictions(
    model, root, drcap_evaluate, tmp_path
):
    arguments = ["--limit", 1, "--metrics", "bleu_1, cider_d"]
    code, out, err = drcap_evaluate(*on(root), *arguments)
    assert (code, out) == (2, "")
    assert "drcap: cider_d: CIDEr-D needs at least two clips" in err
    assert (tmp_path / "reports/evaluation/audiocaps-val/predictions.jsonl").exists()


def test_only_the_named_metrics_are_computed(model, root, drcap_evaluate):
    _, out, _ = drcap_evaluate(*on(root), "--json", "--metrics", "vocab,rouge_l")
    assert list(json.loads(out)["scores"]) == ["vocab", "rouge_l"]


def test_when_every_clip_fails_nothing_is_scored(model, tmp_path, drcap_evaluate):
    folder = tmp_path / "only-bad"
    folder.mkdir()
    (folder / "val.csv").write_text(HEADER + "1,bad,30,A dog barks\n")
    (folder / "bad_30.wav").touch()
    code, out, err = drcap_evaluate(*on(folder))
    assert (code, out) == (2, "")
    assert "none of the 1 clips can be read" in err


@pytest.fixture
def listing(root):
    """Return a CSV file of the recordings: two captions a row, or a row a caption."""
    rows = ["file,caption_1,caption_2\n"]
    for name in ("dog", "cat", "gone"):
        rows.append(f"audiocaps/{name}_30.wav,A {name} makes a sound,A {name}\n")
    (root.parent / "mine.csv").write_text("".join(rows))
    return root.parent / "mine.csv"


def test_any_csv_of_files_and_captions_is_evaluated(model, listing, drcap_evaluate):
    arguments = ["--dataset", "csv", "--root", listing]
    code, out, err = drcap_evaluate(*arguments, "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["clips"], summary["missing_clips"]) == (2, 1)
    assert summary["predictions"] == f"{OUTPUT}/csv/predictions.jsonl"
    assert summary["intervals"]["rouge_l"] == pytest.approx([1, 1])
    assert {*summary["intervals"]} == {"cider_d", "rouge_l"}
    assert f"1 clips of {listing} have no recording under {listing.parent}" in err
    out = drcap_evaluate(*arguments)[1]
    assert "csv mine.csv: 2 clips" in out and "100.0 [100.0, 100.0]" in out
    assert "95 % intervals" in out


def test_several_captioners_are_one_table(model, root, drcap_evaluate, tmp_path):
    two = ["--checkpoint", "runs/first", "--checkpoint", "second"]
    _, out, _ = drcap_evaluate(*on(root), *two)
    table = [line for line in out.splitlines() if line.startswith("|")]
    rows = [line.split("|")[1].strip() for line in table]
    assert "first" in rows and "second" in rows
    for name in ("first", "second"):
        folder = tmp_path / OUTPUT / "audiocaps-val" / name
        assert json.loads((folder / "scores.json").read_text())["system"] == name
        assert {"predictions.jsonl", "run.json"} < {p.name for p in folder.iterdir()}
    _, out, _ = drcap_evaluate(*on(root), *two, "--json")
    assert [json.loads(line)["system"] for line in out.splitlines()] == [
        "first",
        "second",
    ]


@pytest.mark.parametrize(
    ("dataset", "split", "more", "message"),
    [
        ("esc50", "val", [], "data set: unknown 'esc50'; choose one of audiocaps,"),
        ("audiocaps", "dev", [], "audiocaps: unknown 'dev'; choose one of train, val"),
        ("audiocaps", "test", [], "has no captions of subset 'test'"),
        ("csv", "val", [], "a CSV file has no splits: drop --split"),
        ("audiocaps", "val", ["--checkpoint", "a/x", "--checkpoint", "b/x"], "rename"),
        (
            "audiocaps",
            "val",
            ["--metrics", "blue"],
            "metric: unknown 'blue'; choose one of",
        ),
        ("audiocaps", "val", ["--limit", "0"], "'--limit': Input should be"),
        ("audiocaps", "val", ["--top-k", "-1"], "'--top-k': Input should be"),
        ("audiocaps", "val", ["--datastore", "d", "--no-retrieval"], "exclude each"),
        ("audiocaps", "val", ["--output", "audiocaps/val.csv"], "val.csv: is a file"),
        ("audiocaps", "val", ["--output", "audiocaps/val.csv/x"], "Not a directory"),
    ],
)
def test_a_mistake_is_one_clear_error(
    model, root, drcap_evaluate, dataset, split, more, message
):
    code, out, err = drcap_evaluate(*on(root, split, dataset), *more)
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_a_split_is_needed_but_for_a_csv(model, root, tmp_path, drcap_evaluate):
    code, out, err = drcap_evaluate("--dataset", "audiocaps", "--root", root)
    assert (code, out) == (2, "")
    assert "audiocaps: give --split, one of train, val, test" in err
    code, _, err = drcap_evaluate("--dataset", "csv", "--root", root / "val.csv")
    assert code == 2 and "has no column 'file'" in err


def test_a_missing_folder_is_named(model, tmp_path, drcap_evaluate):
    code, _, err = drcap_evaluate(*on(tmp_path / "absent"))
    assert code == 2 and f"drcap: {tmp_path / 'absent'}: " in err


def test_clotho_is_evaluated_by_its_own_reader(model, tmp_path, drcap_evaluate):
    root = make_clotho(tmp_path / "clotho")
    code, out, err = drcap_evaluate(*on(root, "evaluation", "clotho"), "--json")
    assert code == 0, err
    assert json.loads(out)["clips"] == 2
    record = json.loads((tmp_path / OUTPUT / "clotho-evaluation/run.json").read_text())
    assert any("clotho_captions_evaluation" in name for name in record["inputs"])


def test_in_a_checkout_results_lie_where_git_does_not_see_them():
    assert evaluate.default_folder() == paths.REPORTS / "evaluation"
    ignored = (paths.REPOSITORY / ".gitignore").read_text().splitlines()
    assert "reports/evaluation/" in ignored
