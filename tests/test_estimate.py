"""The jobs of a profile: what they take, where they fit, and the table of them."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from drcap import cli
from drcap.config import PROFILES, override, profile
from drcap.estimate import (
    ACCELERATORS,
    Accelerator,
    Cost,
    Job,
    estimate,
    profile_jobs,
    profile_report,
    report,
)
from drcap.estimate.accelerators import GIB, matmul_speed
from drcap.estimate.captioner_jobs import captioner_cost, captioning_cost
from drcap.estimate.cost import OVERHEAD
from drcap.estimate.shapes import LLAMA_7B

PAPER = profile("paper")
A100 = ACCELERATORS[0]
MACHINE = Accelerator("a card", 1e12, 1e10, 10 * GIB)


def jobs(name="paper"):
    return {job.name: job for job in profile_jobs(name)}


def card(gib, cards=1):
    return Accelerator("a card", 100e12, 1e12, gib * GIB, cards)


def test_a_captioner_of_7b_by_hand():
    cost = captioner_cost(PAPER, LLAMA_7B, 1_024, 40_000)
    tokens = 20 + 3 * 14 + 14
    forward = 2 * 6.476e9 * tokens  # operations of a row, but for the vocabulary's
    steps = 4 * 40_000 * 2  # rows, forward and back through frozen weights
    validations = 40 * 500
    assert cost.operations == pytest.approx(forward * (steps + validations), rel=0.01)
    kept = 4 * tokens * 32 * (8 * 4096 + 2 * 4 * 4096 + 2 * 3 * 11_008 + 2 * 5 * 4096)
    trained = 16 * (4_194_304 + 1_025 * 4_096)
    expected = 13.48e9 + kept + trained + OVERHEAD
    assert cost.memory == pytest.approx(expected, rel=0.01)
    assert cost.traffic == 2 * 40_000 * LLAMA_7B.weight_bytes(2)
    assert cost.blocks == 2 * 40_000 * 32


def test_the_blocks_that_smoke_leaves_out_take_disk_alone():
    smoke = jobs("smoke")
    assert smoke["language model"].disk == jobs("demo")["language model"].disk
    for domain in ("ac", "cl"):
        captioner = smoke[f"captioner, {domain}"].ways[""]
        assert captioner.blocks == 2 * 2 * 6  # forward and back, two steps, six blocks


def test_a_beam_search_of_7b_by_hand():
    cost = captioning_cost(PAPER, LLAMA_7B, 957)
    cache = 524_288 * 8 * 4 * (62 + 40)  # clips, beams, prompt and caption
    logits = 32 * 32_000 * 12
    expected = 13.48e9 + cache + logits + OVERHEAD
    assert cost.memory == pytest.approx(expected, rel=0.01)
    assert cost.blocks == 120 * 26 * 32


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"training": {"micro_batch": 1}}),
        ({}, {"training": {"gradient_checkpointing": True}}),
        ({}, {"captioner": {"quantisation": "nf4"}}),
    ],
)
def test_each_remedy_takes_less_memory(first, second):
    more, less = (
        captioner_cost(override(PAPER, each), LLAMA_7B, 1_024, 1)
        for each in (first, second)
    )
    assert less.memory < more.memory and less.operations >= more.operations


def test_the_paper_profile_lists_its_jobs_with_their_sizes():
    found = jobs()
    assert list(found) == [
        *("language model", "corpora", "CLAP", "CLAP, targets seen", "datastore"),
        *("captioner, ac", "captioner, cl", "captioning, ac", "captioning, cl"),
        list(found)[-1],
    ]
    assert found["language model"].disk == pytest.approx(13.5e9, rel=0.01)
    captions = 403_050 + 49_274 + 5 * 3_839
    assert found["datastore"].disk == captions * (4 * 1_024 + 60)
    assert list(found)[-1].startswith("grid, ")
    half = found["captioner, cl"].ways[""].operations
    assert half == found["captioner, ac"].ways[""].operations / 2


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_can_be_estimated(name):
    found = profile_report(name, [MACHINE])
    assert found["disk_gib"] > 0 and len(found["jobs"]) == 10
    json.dumps(found)


def test_larger_profiles_take_longer():
    total = [
        sum(estimate(job, card(1_000)).hours for job in profile_jobs(name))
        for name in ("smoke", "demo", "paper")
    ]
    assert total == sorted(total) and total[2] > 10 * total[1]


def test_the_slowest_of_the_three_decides():
    base = {"memory": GIB}
    for cost, seconds in (
        (Cost(1e15, **base), 1e15 / (1e12 * 0.4)),
        (Cost(0, traffic=1e14, **base), 1e4),
        (Cost(0, blocks=1e7, **base), 6e3),
    ):
        hours = estimate(Job("job", {"": cost}), MACHINE).hours
        assert hours == pytest.approx(seconds / 3_600)


def test_jobs_reach_more_of_a_speed_that_was_measured_but_no_more_than_all():
    job = Job("job", {"": Cost(1e15, GIB)}, utilisation=0.4)
    for gain, share in ((1.0, 0.4), (2.0, 0.8), (3.0, 1.0)):
        machine = replace(MACHINE, gain=gain)
        assert estimate(job, machine).hours == pytest.approx(1e3 / share / 3_600)


def test_procedural_recordings_take_cores_and_downloaded_ones_none():
    built, there = jobs("demo")["corpora"], jobs("paper")["corpora"]
    seconds = 10 * 4_000 + 10 * 860 + 22.5 * 490
    for cores in (2, 8):
        found = estimate(built, replace(MACHINE, cores=cores))
        assert found.hours == pytest.approx(0.01 * seconds / cores / 3_600)
    assert estimate(there, MACHINE).hours == 0


def test_the_whole_is_the_sum_of_the_jobs_that_are_no_part_of_another():
    machines = [replace(MACHINE, memory=1_000 * GIB), MACHINE, card(3)]
    found = profile_report("paper", machines)
    named = {each["job"]: each for each in found["jobs"]}
    parts = [name for name in named if name.startswith("caption")]
    assert len(parts) == 4
    for place, hours in enumerate(found["hours"]):
        each = {name: of["on"][place]["hours"] for name, of in named.items()}
        apart = [each[name] for name in named if name not in parts]
        if None in apart:
            assert hours is None
        else:
            assert hours == pytest.approx(sum(apart))
    assert found["hours"][0] and found["hours"][2] is None


def test_a_smaller_card_takes_another_way_and_the_smallest_none():
    job = jobs()["captioner, ac"]
    large, small, least = (estimate(job, card(gib)) for gib in (24, 8, 2))
    assert large.fits and large.way == "" and large.memory_gib < 17
    assert small.fits and "nf4" in small.way and small.hours > large.hours
    assert not least.fits and least.hours is None and least.memory_gib > 2


def test_cards_that_are_too_small_alone_share_the_weights():
    job = jobs()["captioner, ac"]
    found = estimate(job, card(12, cards=2))
    assert found.fits and found.way == "sharded"
    assert found.hours > estimate(job, card(24, cards=2)).hours


@pytest.mark.parametrize("machine", ACCELERATORS, ids=lambda each: each.name)
def test_the_paper_profile_fits_on_the_named_machines(machine):
    for job in profile_jobs("paper"):
        found = estimate(job, machine)
        assert found.fits, (job.name, found)
        assert found.hours < 24 * 30


def test_a_matrix_product_is_measured():
    speed = matmul_speed(torch.device("cpu"), torch.float32, rounds=1)
    assert 1e8 < speed < 1e15


def doctor(monkeypatch, capsys, *options):
    monkeypatch.setattr(report, "this_machine", lambda: MACHINE)
    monkeypatch.setattr(sys, "argv", ["drcap", "doctor", *options])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code, capsys.readouterr()


def test_the_doctor_tells_what_a_profile_takes(monkeypatch, capsys):
    code, told = doctor(monkeypatch, capsys, "--profile", "paper")
    assert not code
    lines = told.out.splitlines()
    for name in (*(each.name for each in ACCELERATORS), "a card"):
        assert name in lines[0]
    [row] = [line for line in lines if line.startswith("captioner, ac")]
    assert row.count("fits: ") == 4 and "does not fit" not in row
    assert (
        "(micro_batch 1, gradient_checkpointing, nf4)" in row
    )  # on the card of 10 GiB
    [whole] = [line for line in lines if line.startswith("all, notebooks apart")]
    assert whole.count(" h") == 3 and whole.split()[-1] == "-"  # CLAP does not fit
    assert any(line.startswith("disk: ") for line in lines)


def test_the_doctor_tells_it_as_json(monkeypatch, capsys):
    code, told = doctor(monkeypatch, capsys, "--profile", "demo", "--json")
    assert not code
    found = json.loads(told.out)
    assert found["profile"] == "demo" and len(found["machines"]) == 4
    assert {"job", "machine", "fits", "way", "memory_gib", "hours"} <= set(
        found["jobs"][2]["on"][0]
    )


def test_an_unknown_profile_is_one_line(monkeypatch, capsys):
    code, told = doctor(monkeypatch, capsys, "--profile", "huge")
    assert code == 2
    assert "unknown 'huge'; choose one of smoke, demo, paper" in told.err
