"""Clotho v2.1 (Drossos et al., 2020): its own CSV layout, five captions a clip.

The captions and the metadata lie in two CSV files a subset, beside the folders of the
audio. The metadata gives the Freesound id, by which Clotho's clips are found in other
corpora; a copy without it is read too, but its clips then have none.
"""

import html
from dataclasses import dataclass
from pathlib import Path

from drcap.data.captions import Clip
from drcap.data.identities import bare_name, freesound_id, recordings_by_name
from drcap.data.tables import filled, read_table
from drcap.errors import DatasetAbsentError, DatasetError

SUBSETS = {
    **dict.fromkeys(("train", "development"), "development"),
    **dict.fromkeys(("val", "validation"), "validation"),
    **dict.fromkeys(("test", "evaluation"), "evaluation"),
}
CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


@dataclass(frozen=True)
class Clotho:
    """The clips of a subset whose audio is here, and the names of those without."""

    clips: tuple[Clip, ...]
    missing: tuple[str, ...]  # file names without their suffix, in the CSV's order


def read_clotho(root: Path | str, subset: str, *, audio: bool = True) -> Clotho:
    """Read a subset's captions and metadata and find its clips under `root`.

    The captions are `clotho_captions_<subset>.csv` and the metadata, if there are any,
    `clotho_metadata_<subset>.csv`, in `root` or `root/clotho_csv_files`. A clip is a
    recording of its name, whatever its suffix, in any folder called as the subset.
    subset : development, validation or evaluation; train, val and test mean the same
    audio : if False, none is looked for, and every clip's path is None
    DatasetError: another subset, no such CSV, a malformed row, no clip at all
    """
    root, folder = Path(root), _folder(subset)
    csv_path = _find_csv(root, f"clotho_captions_{folder}.csv")
    if csv_path is None:
        raise DatasetAbsentError(
            f"{root}: has no clotho_captions_{folder}.csv in it or in its folder "
            "clotho_csv_files; give the folder of Clotho"
        )
    captions = _captions(csv_path)
    metadata = _metadata(_find_csv(root, f"clotho_metadata_{folder}.csv"))
    recordings = _recordings(root, folder) if audio else {}
    clips, missing = [], []
    for name, texts in captions.items():
        path = recordings.get(_key(name))
        if audio and path is None:
            missing.append(name)
        else:
            facts = metadata.get(_key(name), {})
            clips.append(Clip(name, "clotho", subset, path, None, texts, **facts))
    if not clips:
        raise DatasetError(
            f"{root}: holds none of the {len(missing)} clips of {csv_path.name}; "
            f"put them into its folder {folder}"
        )
    return Clotho(tuple(clips), tuple(missing))


def _folder(subset: str) -> str:
    if subset not in SUBSETS:
        raise DatasetError(
            f"Clotho has no subset {subset!r}; give one of {', '.join(SUBSETS)}"
        )
    return SUBSETS[subset]


def _find_csv(root: Path, name: str) -> Path | None:
    if not root.is_dir():
        raise DatasetAbsentError(f"{root}: no such folder; give the folder of Clotho")
    candidates = (root / name, root / "clotho_csv_files" / name)
    return next((path for path in candidates if path.is_file()), None)


def _captions(csv_path: Path) -> dict[str, tuple[str, ...]]:
    """Return the bare name of each clip -> its five captions, in the CSV's order."""
    captions: dict[str, tuple[str, ...]] = {}
    for line, row in read_table(csv_path):
        name = bare_name(filled(csv_path, line, row, "file_name"))
        if name in captions:
            raise DatasetError(
                f"{csv_path}: line {line} lists {row['file_name']!r} a second time"
            )
        captions[name] = tuple(filled(csv_path, line, row, each) for each in CAPTIONS)
    if not captions:
        raise DatasetError(f"{csv_path}: lists no clips; fetch it again")
    return captions


def _metadata(csv_path: Path | None) -> dict[str, dict]:
    """Return the key of each clip -> its Freesound id and keywords."""
    facts: dict[str, dict] = {}
    # The published file is Latin-1; a copy saved again may be UTF-8.
    table = read_table(csv_path, fallback="latin-1") if csv_path else ()
    for line, row in table:
        name = filled(csv_path, line, row, "file_name")
        keywords = filled(csv_path, line, row, "keywords").split(";")
        # Some sounds are no longer on Freesound: their id is "Not found".
        sound_id = freesound_id(filled(csv_path, line, row, "sound_id"))
        words = tuple(word.strip() for word in keywords if word.strip())
        facts[_key(bare_name(name))] = {"freesound_id": sound_id, "keywords": words}
    return facts


def _recordings(root: Path, folder: str) -> dict[str, Path]:
    found = recordings_by_name(root, within=(folder,))
    return {_key(name): path for name, path in found.items()}


def _key(name: str) -> str:
    """Level what differs between a name in the CSV and on disk: blanks, entities."""
    return " ".join(html.unescape(name).split())
