"""Single files of assets: brought, the system's, by Maven, of the hub, downloaded.

A file whose SHA-256 is known is compared with it before use. Another one is checked for
what it must hold, and downloaded only where a checksum is published beside it. What
does not answer within seconds is given up, and not asked again in the same fetch.
"""

import shutil
import subprocess
import sys
import tarfile
import threading
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from drcap.assets.manifest import is_pinned
from drcap.atomic import sha256
from drcap.errors import AssetError

CENTRAL = "https://repo1.maven.org/maven2"
# seconds: Maven and the two hosts of SPICE's files together are given up within 15
MAVEN_ANSWERS, HOST_ANSWERS, STALLED = 7, 3.5, 60
# what zipfile and tarfile raise: no such member, an unsafe one, a damaged archive
BAD_ARCHIVE = (KeyError, EOFError, zipfile.BadZipFile, tarfile.TarError, zlib.error)
silent: set[str] = set()  # hosts, or "mvn", that did not answer in this fetch


def place_file(
    name: str, source: dict, target: Path, brought: list[Path], scratch: Path
) -> None:
    """Put one file at `target`: brought, else the system's, else from the network.

    source : hub, maven, url, sha256, holds and system, as assets.toml explains them
    brought : folders it may lie in; where there are any, nothing is downloaded
    scratch : a folder on the same disk that is dropped later
    Raises AssetError: nowhere to be had, or not the file wanted.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    candidates = [folder / name for folder in brought]
    candidates += [Path(source["system"])] if "system" in source else []
    origin = next((path for path in candidates if path.is_file()), None)
    if origin:
        shutil.copyfile(origin, target)
    elif brought:
        raise AssetError(f"{name} is not in {brought[-1]}")
    else:
        origin = _from_network(name, source, target, scratch)
    if "sha256" in source:
        check_pin(str(origin), target, source["sha256"])
    if "holds" in source and not _holds(target, source["holds"]):
        raise AssetError(
            f"{origin} is not the file wanted: {source['holds']} is not in it"
        )


def extract(archive: Path, member: str, folder: Path) -> Path:
    """Extract one member of a zip or tar archive below `folder`; return its path.

    zipfile and tarfile refuse paths and links that leave the folder. "a.zip!b" is the
    member b of the archive a inside the archive. Raises AssetError if it cannot be.
    """
    outer, _, inner = member.partition("!")
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as opened:
                path = Path(opened.extract(outer, folder))
        else:
            with tarfile.open(archive) as opened:
                opened.extract(outer, folder, filter="data")
                path = folder / outer
    except BAD_ARCHIVE as error:
        raise AssetError(f"{archive.name}: cannot extract {outer} ({error})") from error
    return extract(path, inner, folder) if inner else path


def check_pin(name: str, path: Path, pins: str | list[str]) -> None:
    """Raise AssetError unless a file's SHA-256 is that pinned, or one of those."""
    if not is_pinned(actual := sha256(path), pins):
        raise AssetError(
            f"{name} is not the pinned file: SHA-256 {actual}, expected {pins}; "
            "nothing of it was used"
        )


def _from_network(name: str, source: dict, target: Path, scratch: Path) -> str:
    """Make `target` by the first way that works; return where it came from."""
    jars, pinned = source.get("maven", "").split(), "sha256" in source
    ways = [[f"mvn:{jar}" for jar in jars]] if shutil.which("mvn") else []
    ways.append([f"{CENTRAL}/{_layout(jar)}" for jar in jars])
    ways.append([source["url"]] if pinned and "url" in source else [])
    ways.append([f"hub:{source['hub']}:{name}"] if "hub" in source else [])
    failures = []
    for way in filter(None, ways):
        try:
            files = [_get(address, scratch, not pinned) for address in way]
            _join(files, target)
            return way[0]
        except (AssetError, *BAD_ARCHIVE) as error:
            failures.append(str(error))
    reason = "; ".join(failures) or "its SHA-256 is unknown"
    raise AssetError(f"{name} is not downloaded: {reason}")


def _get(address: str, scratch: Path, compare: bool) -> Path:
    if address.startswith("mvn:"):
        return _by_maven(address.removeprefix("mvn:"), scratch)
    if address.startswith("hub:"):
        return _of_hub(*address.split(":")[1:], scratch)
    return _download(address, scratch, compare)


# --- Maven ----------------------------------------------------------------------------


def _layout(coordinates: str) -> str:
    """Return the path in a Maven repository of GROUP:NAME:VERSION[:jar:CLASSIFIER]."""
    group, name, version, *kind = coordinates.split(":")
    file = "-".join([name, version, *kind[1:]])
    return f"{group.replace('.', '/')}/{name}/{version}/{file}.jar"


def _by_maven(coordinates: str, scratch: Path) -> Path:
    """Return the jar that Maven, with its own mirrors and proxies, puts in `scratch`.

    It is stopped where no file at all has come after MAVEN_ANSWERS seconds.
    """
    repository = scratch / "maven"
    command = ["mvn", "-B", "-q", "dependency:get", f"-Dartifact={coordinates}"]
    command += ["-Dtransitive=false", f"-Dmaven.repo.local={repository}"]
    if "mvn" not in silent:
        print(f"mvn dependency:get {coordinates}", file=sys.stderr)
        nothing = subprocess.DEVNULL
        with subprocess.Popen(command, stdout=nothing, stderr=nothing) as maven:
            try:
                maven.wait(MAVEN_ANSWERS)
            except subprocess.TimeoutExpired:
                if not any(path.is_file() for path in repository.rglob("*")):
                    maven.kill()
    if not (path := repository / _layout(coordinates)).is_file():
        silent.add("mvn")
        raise AssetError(f"mvn dependency:get brought no {coordinates}")
    return path


# --- the hub --------------------------------------------------------------------------


def _of_hub(repository: str, name: str, scratch: Path) -> Path:
    """Return the path of a model's file, downloaded into `scratch`."""
    from huggingface_hub import constants, hf_hub_download

    _ask(constants.ENDPOINT)
    try:
        return Path(hf_hub_download(repository, name, local_dir=scratch / "hub"))
    except Exception as error:  # those of httpx and of the hub have no common class
        reason = type(error).__name__
        raise AssetError(f"{name} of {repository} on the hub: {reason}") from error


# --- addresses ------------------------------------------------------------------------


def _download(address: str, scratch: Path, compare: bool) -> Path:
    """Download a file into `scratch`; of "URL!MEMBER" return that member's path.

    compare : with the SHA-1 published at URL.sha1, as Maven does
    """
    import pooch
    import requests

    url, _, member = address.partition("!")
    _ask(url)
    path = scratch / "downloads" / url.rpartition("/")[2]
    get = pooch.HTTPDownloader(progressbar=True, timeout=STALLED)
    checksum = None
    try:
        if compare:
            answer = requests.get(f"{url}.sha1", timeout=STALLED)
            answer.raise_for_status()
            checksum = f"sha1:{answer.text.split()[0]}"
        # the archive of a second member is there already
        pooch.retrieve(url, checksum, path.name, path.parent, downloader=get)
    except (OSError, ValueError, LookupError) as error:
        raise AssetError(f"{url} cannot be downloaded ({error})") from error
    return extract(path, member, scratch / "members") if member else path


def _ask(url: str) -> None:
    """Raise AssetError unless the host answers soon, the look-up of its name included.

    In a thread, since nothing bounds that look-up.
    """
    import requests

    host, answers = urlsplit(url).netloc, []

    def ask() -> None:
        with suppress(requests.RequestException):
            requests.get(url, stream=True, timeout=HOST_ANSWERS).close()
            answers.append(True)

    if host not in silent:
        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        thread.join(HOST_ANSWERS)
    if not answers:
        silent.add(host)
        raise AssetError(f"{host} does not answer")


# --- jars -----------------------------------------------------------------------------


def _join(jars: list[Path], target: Path) -> None:
    """Move one file to `target`, or write the members of several jars into it."""
    if len(jars) == 1:
        jars[0].replace(target)
        return
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as joined:
        for jar in jars:
            with zipfile.ZipFile(jar) as opened:
                for name in set(opened.namelist()) - set(joined.namelist()):
                    joined.writestr(name, opened.read(name))


def _holds(path: Path, wanted: str) -> bool:
    """Tell whether `wanted` is a jar's member, or in another file's first MiB."""
    if path.suffix == ".jar":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
            return wanted in archive.namelist()
        return False
    with open(path, "rb") as stream:
        return wanted.encode() in stream.read(1 << 20)
