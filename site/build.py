"""Builds the site: notebooks, README, docs and reports as static HTML, made audible.

    python site/build.py --profile demo --target build/site

Pages are staged beside the target as they lie in the repository, and rendered by Sphinx
(conf.py); nothing comes from the network. Sounds are those of our own procedural clips
and of the CC0 recordings, where they are in the cache folder, and the synthetic ones of
notebook 00; third-party clips never.
"""

import argparse
import json
import os
import re
import shutil
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import nbformat
import soundfile
from sphinx.cmd.build import main as sphinx

from drcap import assets, audio, notebook, paths
from drcap.atomic import write_text
from drcap.config import corpora_profile
from drcap.data.corpora import ProceduralCorpora, corpora, corpora_folder, kind_of
from drcap.errors import AssetError
from drcap.experiments import results
from drcap.experiments.grid import DOMAINS, ROWS

HERE, ROOT = Path(__file__).parent, paths.REPOSITORY
PAGES = (
    *("README.md", "docs/*.md", "notebooks/*.ipynb", "reports/*/*.md"),
    *("reports/*/tables/*.md", "reports/benchmarks/**/*.md", "tests/README.md"),
    *("CHANGELOG.md", "CONTRIBUTING.md", "THIRD_PARTY.md", "drcap/checkpoints/*.md"),
)
NOT_KEPT = {"smoke", "evaluation"}  # reports that are not committed
LARGEST = 30  # MB of the whole site
RATE = 24_000  # Hz of all sounds
KBITS, KBITS_OF_RESULTS = 32, 16  # a second, by Opus
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^()\s]+)\)")
PLAYED = re.compile(r"Run this cell to listen to (.*)\.\s*")  # of `notebook.play`


class Site:
    """Pages and sounds, staged for Sphinx in a folder."""

    def __init__(self, stage: Path, profile: str):
        self.stage, self.profile = stage, profile
        found = sorted(path for pattern in PAGES for path in ROOT.glob(pattern))
        self.pages = [p for p in found if not NOT_KEPT & {*p.relative_to(ROOT).parts}]
        self.clips, self.recordings = {}, {}
        if kind_of(profile) is ProceduralCorpora:
            folder = corpora_folder(corpora_profile(profile))
            if (folder / "corpora.json").exists():
                self.recordings = {path.name: path for path in folder.rglob("*.flac")}
                for domain in DOMAINS:
                    for clip in corpora(profile, folder).clips(domain, "test"):
                        self.clips[domain, clip.clip_id] = clip
        with suppress(AssetError):
            animals = audio.find_recordings([assets.asset_path("animal-recordings")])
            self.recordings |= {path.name: path for path in animals}

    def write(self) -> None:
        """Stage every page; sounds that were made before are kept."""
        self.stage.mkdir(parents=True, exist_ok=True)
        for old in self.stage.iterdir():
            if old.is_dir() and old.name != "_static":
                shutil.rmtree(old)
        for name, wave in notebook.odd_sounds(RATE).items():  # of notebook 00
            path = self.recordings[f"{name}.wav"] = self.stage / "odd" / f"{name}.wav"
            path.parent.mkdir(exist_ok=True)
            soundfile.write(path, wave, RATE)
        for page in self.pages:
            name = page.relative_to(ROOT)
            if page.suffix == ".ipynb":
                text = nbformat.writes(self.notebook(page))
            else:
                text = self.linked(page.read_text(encoding="utf-8"), page)
                if not text.lstrip().startswith("# "):  # a bare table
                    text = f"# {page.stem.replace('_', ' ')}\n\n{text}"
            if name == Path("README.md"):
                contents = (HERE / "contents.md").read_text(encoding="utf-8")
                name, text = Path("index.md"), f"{text}\n{contents}"
            write_text(self.stage / name, text)
        names = [p.relative_to(ROOT).with_suffix("").as_posix() for p in self.pages]
        tables = [n for n in names if n.startswith("reports/") and "summary" not in n]
        listed = "\n".join(f"/{name}" for name in tables)
        contents = f"# All tables\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
        write_text(self.stage / "reports/contents.md", contents)
        [package] = find_spec("sphinx-mathjax-offline").submodule_search_locations
        static, mathjax = self.stage / "_static", Path(package) / "static/mathjax"
        shutil.copytree(HERE / "static", static, dirs_exist_ok=True)
        fonts = "output/chtml"  # with the script below all that is needed of 24 MB
        shutil.copytree(mathjax / fonts, static / "mathjax" / fonts, dirs_exist_ok=True)
        shutil.copy(mathjax / "tex-chtml.js", static / "mathjax")
        shutil.copy(HERE / "conf.py", self.stage)

    def linked(self, text: str, source: Path) -> str:
        """Return Markdown whose links lead to pages and files of the site."""

        def link(match: re.Match) -> str:
            image, label, address = match.groups()
            path, mark, anchor = address.partition("#")
            if not path or re.match("[a-z]+:", address):
                return match[0]
            target = Path(os.path.normpath(source.parent / path))
            if not target.exists():
                print(f"{source}: a link to nothing, {address}", file=sys.stderr)
            if not target.is_file() or not target.is_relative_to(ROOT):
                return label  # of a folder, which is no page
            place = target.relative_to(ROOT)
            if target not in self.pages:
                (self.stage / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(target, self.stage / place)
            place = Path("index.md") if place == Path("README.md") else place
            path = os.path.relpath(place, source.parent.relative_to(ROOT))
            return f"{image}[{label}]({Path(path).as_posix()}{mark}{anchor})"

        return LINK.sub(link, text)

    def notebook(self, path: Path) -> nbformat.NotebookNode:
        """Return a notebook with its number, links within the site, and players."""
        made = nbformat.read(path, nbformat.NO_CONVERT)
        title, number = made.cells[0], path.stem.partition("_")[0]
        title.source = title.source.replace("# ", f"# {number} ", 1)
        for cell in made.cells:
            if cell.cell_type == "markdown":
                cell.source = self.linked(cell.source, path)
            for output in cell.get("outputs", ()):
                text = output.get("data", {}).get("text/markdown", "")
                if played := PLAYED.fullmatch(text):
                    names = re.findall("`(.*?)`", played[1])
                    players = "\n".join(map(self.player, names))
                    output.data = {"text/html": players}
                elif text:
                    output.data["text/markdown"] = self.linked(text, path)
        return made

    def player(self, name: str) -> str:
        """Return a recording's player, for a page one folder deep."""
        html = "is not at hand here, or may not be passed on"
        if name in self.recordings:
            source = quote(f"../{self.sound(name)}")
            html = f'<audio controls preload="none" src="{source}"></audio>'
        return f'<p class="player"><code>{name}</code> {html}</p>'

    def sound(self, name: str, kbits: int = KBITS) -> str:
        """Encode a recording unless that was done; return its path in the site."""
        source = self.recordings[name]
        target = self.stage / f"_static/sounds/{kbits}/{source.stem}.ogg"
        if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
            target.parent.mkdir(parents=True, exist_ok=True)
            options = {"format": "OGG", "subtype": "OPUS"}
            options["compression_level"] = 1 - (kbits - 6) / 250  # 6 to 256 kbit/s
            soundfile.write(target, audio.load(source, RATE), RATE, **options)
        return target.relative_to(self.stage).as_posix()

    def listen(self, clips: int) -> None:
        """Stage the page of results: so many clips, and what each system said."""
        table = results.read_table(ROOT / "reports" / self.profile)
        titles = {pair: row for row, pair in ROWS.items()}
        names, pairs = kind_of(self.profile).names, {}
        first = table[table["seed"] == table["seed"].min()]
        for (train, test), rows in first.groupby(["train", "test"]):
            said: dict[str, dict] = {}
            for row in rows.itertuples():
                title = titles.get((row.system, row.ablation))
                if title and (row.clip_id in said or len(said) < clips):
                    scored = [row.candidate, round(100 * row.cider_d, 1)]
                    said.setdefault(row.clip_id, {})[title] = scored
            heard = [self.heard(test, name) | {"captions": said[name]} for name in said]
            pairs[results.pair_name(names[train], names[test])] = heard
        data = json.dumps({"rows": list(ROWS), "pairs": pairs}, separators=(",", ":"))
        write_text(self.stage / "_static/results-data.js", f"const RESULTS = {data};\n")
        shutil.copy(HERE / "listen.md", self.stage)

    def heard(self, domain: str, clip_id: str) -> dict:
        """Return what there is of a test clip: its sound and its references."""
        if (clip := self.clips.get((domain, clip_id))) is None:
            return {"id": clip_id, "sound": "", "references": []}
        sound = self.sound(clip.path.name, KBITS_OF_RESULTS)
        return {"id": clip_id, "sound": sound, "references": clip.captions}


def build(profile: str, target: Path, clips: int) -> None:
    """Render the site in `target`; SystemExit if Sphinx fails or it is too large."""
    stage = target.with_name(f"{target.name}-pages")
    site = Site(stage, profile)
    site.write()
    site.listen(clips)
    print(f"{len(site.pages)} pages, {len(site.recordings):,} recordings at hand")
    if (target / "objects.inv").exists():  # a site that Sphinx made before
        shutil.rmtree(target)
    if sphinx(["-q", "-d", f"{stage}-read", str(stage), str(target)]):
        sys.exit("Sphinx did not build the site")
    size = sum(p.stat().st_size for p in target.rglob("*") if p.is_file()) / 1e6
    print(f"{target}/index.html: {size:.1f} MB")
    if size > LARGEST:
        sys.exit(f"that is over {LARGEST} MB: lower --clips")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", default="demo")
    parser.add_argument("--target", type=Path, default=ROOT / "build/site")
    parser.add_argument("--clips", type=int, default=200, help="heard, of a domain")
    build(**vars(parser.parse_args()))
