"""The site is built from what is committed, and opened in a real browser, offline."""

import json
import re
import subprocess
import sys
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urldefrag

import pytest
from test_notebooks import SPECTROGRAM

from drcap import paths
from drcap.experiments.results import read_table

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The folder of the built site."""
    target = tmp_path_factory.mktemp("built") / "site"
    command = [sys.executable, "site/build.py", "--target", str(target), "--clips=40"]
    made = subprocess.run(command, cwd=paths.REPOSITORY, capture_output=True, text=True)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "WARNING" not in made.stderr, made.stderr
    return target


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served: `fetch` is forbidden to files, players may seek."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


class Links(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, page: Path):
        super().__init__()
        self.links, self.anchors = [], set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.anchors.add(found.get("id"))
        self.links += [found[k] for k in ("href", "src") if found.get(k)]


def test_every_link_leads_somewhere(site):
    pages = {page: Links(page) for page in site.rglob("*.html")}
    dead = []
    for page, found in pages.items():
        for link in found.links:
            path, anchor = urldefrag(link)
            if link.startswith(("http:", "https:", "mailto:", "data:")):
                continue
            target = (page.parent / unquote(path.partition("?")[0])).resolve()
            target = target if path else page.resolve()
            known = pages.get(target)
            if not target.exists() or (
                anchor and known and anchor not in known.anchors
            ):
                dead.append(f"{page.relative_to(site)}: {link}")
    assert not dead, "\n".join(dead)


class Rows(HTMLParser):
    """The rows of a page's tables, each as its text."""

    def __init__(self, page: Path):
        super().__init__()
        self.rows, self.inside = [], False
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append("")
        self.inside = self.inside or tag == "tr"

    def handle_endtag(self, tag):
        self.inside = self.inside and tag != "tr"

    def handle_data(self, data):
        if self.inside:
            self.rows[-1] += data


SAME = {
    "README.md": "index.html",
    "docs/real_recordings.md": "docs/real_recordings.html",
    "reports/demo/summary.md": "reports/demo/summary.html",
}


def numbers(rows) -> list[tuple[str, ...]]:
    """Return the decimal numbers of each row that has some."""
    return [found for row in rows if (found := tuple(re.findall(r"\d+\.\d+", row)))]


@pytest.mark.parametrize("source", SAME)
def test_the_site_shows_the_numbers_of_readme_and_reports(site, source):
    lines = (paths.REPOSITORY / source).read_text(encoding="utf-8").splitlines()
    wanted = numbers(line for line in lines if line.startswith("|"))
    assert len(wanted) > 5
    assert wanted == numbers(Rows(site / SAME[source]).rows)


def test_the_page_of_clips_has_the_scores_of_the_table(site):
    script = (site / "_static/results-data.js").read_text(encoding="utf-8")
    shown = json.loads(script.removeprefix("const RESULTS = ").rstrip(";\n"))["pairs"]
    table = read_table(paths.REPORTS / "demo")
    first = table[table["seed"] == table["seed"].min()]
    scored = {
        (row.clip_id, row.candidate, round(100 * row.cider_d, 1))
        for row in first.itertuples()
    }
    said = {
        (clip["id"], *caption)
        for clips in shown.values()
        for clip in clips
        for caption in clip["captions"].values()
    }
    assert said and said <= scored


def test_every_page_opens_without_errors_and_from_here_alone(site, address, browser):
    page, faults, away = browser.new_page(), [], []
    page.on("pageerror", lambda error: faults.append(f"{page.url}: {error}"))
    page.on(
        "console",
        lambda said: said.type == "error" and faults.append(f"{page.url}: {said.text}"),
    )
    page.on(
        "request",
        lambda asked: (
            asked.url.startswith((address, "data:")) or away.append(asked.url)
        ),
    )
    for file in sorted(site.rglob("*.html")):
        page.goto(f"{address}/{file.relative_to(site).as_posix()}")
    assert not faults and not away, faults + away


def test_formulae_are_typeset(address, browser):
    page = browser.new_page()
    page.goto(f"{address}/notebooks/04_captioning_and_adaptation.html")
    page.wait_for_selector("mjx-container")
    assert page.locator("mjx-container").count() >= 3
    assert not page.locator("mjx-merror").count()
    assert r"\sum" not in page.inner_text("article")


def test_the_search_finds_a_notebook(address, browser):
    page = browser.new_page()
    page.goto(f"{address}/search.html?q=projection")
    found = page.locator("#search-results a", has_text="projection")
    found.first.wait_for()


def test_clips_are_heard_and_sorted_by_difference(address, browser):
    page = browser.new_page()
    page.goto(f"{address}/listen.html")
    clips = page.locator(".clip")
    assert clips.count() == 20
    page.locator("select[name=first]").select_option("WSAC")
    page.locator("select[name=second]").select_option("ZerAuCap")
    shown = [
        float(text.split()[0]) for text in page.locator(".clip > p").all_inner_texts()
    ]
    assert shown == sorted(shown, reverse=True) and shown[0] > shown[-1]
    assert {"WSAC", "ZerAuCap"} == {
        text.split("\t")[0] for text in clips.first.locator(".chosen").all_inner_texts()
    }
    page.locator("select[name=order]").select_option("first loses most")
    turned = page.locator(".clip > p").all_inner_texts()
    assert float(turned[0].split()[0]) <= min(shown)
    more = page.get_by_role("button", name="More clips")
    more.click()
    assert clips.count() == 40 and more.is_hidden()


CELLS = """() => [...document.querySelectorAll("div.cell")].map(cell => ({
    code: cell.querySelector(".cell_input")?.innerText ?? "",
    outputs: cell.querySelectorAll(".cell_output").length,
    players: [...cell.querySelectorAll(".player")].map(player =>
        [player.querySelector("code").innerText, !!player.querySelector("audio")]),
}))"""


def test_players_stand_beside_every_spectrogram(site, address, browser):
    page, heard = browser.new_page(), {}
    for file in sorted(site.glob("notebooks/*.html")):
        page.goto(f"{address}/notebooks/{file.name}")
        cells = page.evaluate(CELLS)
        for cell, after in zip(cells, cells[1:], strict=False):
            if SPECTROGRAM.search(cell["code"]) and after["outputs"]:
                assert after["players"], f"{file.name}: {cell['code']}"
        heard[file.stem] = dict(sum((cell["players"] for cell in cells), []))
    quickstart = heard["00_quickstart"]
    assert len(quickstart) == 6 and all(quickstart.values())  # our own, and CC0


def test_a_player_plays(site, address, browser):
    with_players = [
        file for file in sorted(site.rglob("*.html")) if "<audio" in file.read_text()
    ]
    page = browser.new_page()
    if with_players:
        page.goto(f"{address}/{with_players[0].relative_to(site).as_posix()}")
    else:  # no notebook was run since it has players: the page of results
        page.goto(f"{address}/listen.html")
    player = page.locator("audio").first
    if not player.count():
        pytest.skip("neither corpora nor recordings are here, so there are no players")
    player.evaluate("player => player.play()")
    page.wait_for_function(
        "() => document.querySelector('audio').currentTime > 0.2", timeout=20_000
    )
