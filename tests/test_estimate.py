"""What a profile's jobs take, where they fit, and the table of them."""

import json
from dataclasses import replace

import pytest

from drcap import estimate
from drcap.config import override, profile
from drcap.estimate import GIB, GPUS, OVERHEAD, Job, Machine

PAPER = profile("paper")
NAMES = ("smoke", "demo", "paper")
CARD = Machine("a card", 1e12, 10 * GIB)


def jobs(name="paper"):
    return {job.name: job for job in estimate.profile_jobs(name)}


def test_a_captioner_and_a_beam_search_of_7b_by_hand():
    training = estimate.captioner_job(PAPER, 1_024, 40_000)
    tokens = 20 + 3 * 14 + 14
    steps = 4 * 40_000 * 2  # rows, forward and back through frozen weights
    validations = 40 * 500
    expected = 2 * 6.738e9 * tokens * (steps + validations)
    assert training.operations == pytest.approx(expected, rel=0.01)
    trained = 16 * (4_194_304 + 1_024 * 4_096)
    kept = 4 * tokens * 32 * 4_096 * 42
    memory = 13.48e9 + trained + kept + OVERHEAD
    assert training.memory == pytest.approx(memory, rel=0.01)
    search = estimate.captioning_job(PAPER, 957)
    cache = 524_288 * 8 * 4 * (62 + 40)  # clips, beams, prompt and caption
    assert search.memory == pytest.approx(13.48e9 + cache + OVERHEAD, rel=0.01)
    assert search.operations == 957 * 2 * 6.738e9 * (62 + 4 * 25)


def test_micro_batches_checkpoints_and_4_bit_take_less_memory():
    for change in (
        {"training": {"micro_batch": 1}},
        {"training": {"gradient_checkpointing": True}},
        {"captioner": {"quantisation": "nf4"}},
    ):
        less = estimate.captioner_job(override(PAPER, change), 1_024, 1)
        more = estimate.captioner_job(PAPER, 1_024, 1)
        assert less.memory < more.memory and less.operations >= more.operations


def test_the_paper_profile_lists_its_jobs_with_their_sizes():
    found = jobs()
    assert list(found)[:5] == [
        *("language model", "corpora", "CLAP", "CLAP, targets seen", "datastore"),
    ]
    assert "captioners" in [*found][5] and "captions" in [*found][6]
    assert found["language model"].disk == pytest.approx(13.5e9, rel=0.01)
    captions = 403_050 + 49_274 + 5 * 3_839
    assert found["datastore"].disk == captions * (4 * 1_024 + 60)
    assert found["corpora"].core_seconds == 0  # downloaded, not built
    seconds = 10 * 4_000 + 10 * 960 + 22.5 * 590
    assert jobs("demo")["corpora"].core_seconds == pytest.approx(0.01 * seconds)


def test_larger_profiles_take_longer_and_the_papers_fits_on_the_named_gpus():
    card = replace(CARD, memory=1_000 * GIB)
    tables = [estimate.profile_table(name, [card, *GPUS]) for name in NAMES]
    totals = [table["a card"].iloc[-1] for table in tables]
    assert totals == sorted(totals) and totals[2] > 10 * totals[1]
    assert (tables[2][[gpu.name for gpu in GPUS]].iloc[-1] < 24 * 30).all()
    for table in tables:
        *jobs, whole = table["disk_gib"]
        assert whole == pytest.approx(sum(jobs)) and whole > 0


def test_a_job_takes_its_operations_or_its_cores():
    computing = Job("job", operations=1e15, memory=GIB)
    assert computing.hours(CARD) == pytest.approx(1e15 / 0.4e12 / 3_600)
    cpu = replace(CARD, gain=2.0)
    assert computing.hours(cpu) == pytest.approx(1e15 / 0.8e12 / 3_600)
    for cores in (2, 8):
        built = Job("job", core_seconds=100).hours(replace(CARD, cores=cores))
        assert built == pytest.approx(100 / cores / 3_600)
    assert Job("job", operations=1e15, memory=11 * GIB).hours(CARD) is None


def test_this_machine_is_measured():
    here = estimate.this_machine()
    assert 1e8 < here.speed < 1e17 and here.memory > 0 and here.cores >= 1


def test_the_doctor_shows_what_a_profile_takes(drcap, monkeypatch):
    monkeypatch.setattr(estimate, "this_machine", lambda: CARD)
    code, out, _ = drcap("doctor", "--profile", "paper")
    header, _, *lines = out.splitlines()
    assert code == 0 and all(gpu.name in header for gpu in (*GPUS, CARD))
    [row] = [line for line in lines if line.split("  ")[0].endswith("captioners")]
    assert row.count("does not fit") == 1 and " 15." in row
    [whole] = [line for line in lines if line.startswith("all, notebooks apart")]
    assert whole.endswith("does not fit") and whole.count("does not fit") == 1
    assert any(line.startswith("disk: ") for line in lines)
    code, out, _ = drcap("doctor", "--profile", "demo", "--json")
    report = json.loads(out)
    assert report["profile"] == "demo" and report["disk"]["free_gib"] > 0
    assert {*report["jobs"][2]} == {
        *("job", "disk_gib", "memory_gib"),
        *(machine.name for machine in (*GPUS, CARD)),
    }
    code, _, err = drcap("doctor", "--profile", "huge")
    assert code == 2 and "unknown 'huge'; choose one of smoke, demo, paper" in err
