"""The pages beside the README: their links, and the lists that must be whole."""

import re

import pytest

from drcap import assets, paths

ROOT = paths.REPOSITORY
PAGES = [
    *ROOT.glob("docs/*.md"),
    *(ROOT / name for name in ("CONTRIBUTING.md", "THIRD_PARTY.md")),
    *(ROOT / folder / "README.md" for folder in ("drcap/checkpoints", "tests")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_links_to_what_is_there(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_the_files_to_bring_to_a_machine_without_network_are_all_listed():
    text = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for asset in assets.select():
        assert asset.package.requirement in text


def test_the_rows_about_peers_are_counted():
    text = (ROOT / "docs" / "peers.md").read_text(encoding="utf-8")
    here = [line.split(" | ")[2] for line in text.splitlines() if " | " in line][1:]
    counts = [here.count(answer) for answer in ("yes", "half", "no")]
    yes, half, no = counts
    assert f"Of {len(here)} rows: {yes} yes, {half} half, {no} no." in text
    assert sum(counts) == len(here)
