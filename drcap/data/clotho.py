"""Clotho v2.1 (Drossos et al., 2020): its own CSV layout, five captions a clip.

The captions and the metadata lie in two CSV files a subset, beside the folders of the
audio. The metadata gives the Freesound id, by which Clotho's clips are found in other
corpora; a copy without it is read too, but its clips then have none.
"""

import html
from pathlib import Path

from drcap.data.clip import Clip, Subset
from drcap.data.identities import bare_name, freesound_id, locate
from drcap.data.tables import filled, read_table
from drcap.errors import DatasetAbsentError, DatasetError, check_choice

SUBSETS = {
    **dict.fromkeys(("train", "development"), "development"),
    **dict.fromkeys(("val", "validation"), "validation"),
    **dict.fromkeys(("test", "evaluation"), "evaluation"),
}
CAPTIONS = tuple(f"caption_{number}" for number in range(1, 6))


def read_clotho(root: Path | str, subset: str, *, audio: bool = True) -> Subset:
    """Read a subset's captions and metadata and find its clips under `root`.

    The captions are `clotho_captions_<subset>.csv` and the metadata, if there are any,
    `clotho_metadata_<subset>.csv`, in `root` or `root/clotho_csv_files`. A clip is a
    recording of its name, whatever its suffix, in any folder called as the subset.

    subset : development, validation or evaluation; train, val and test mean the same
    audio : if False, none is looked for, and every clip's path is None
    Raises DatasetError: another subset, no such CSV, a malformed row, no clip at all.
    """
    root = Path(root)
    check_choice("subset of Clotho", subset, SUBSETS, DatasetError)
    folder = SUBSETS[subset]
    csv_path = _find_csv(root, f"clotho_captions_{folder}.csv")
    if csv_path is None:
        raise DatasetAbsentError(
            f"{root}: has no clotho_captions_{folder}.csv in it or in its folder "
            "clotho_csv_files; give the folder of Clotho"
        )
    facts = _metadata(_find_csv(root, f"clotho_metadata_{folder}.csv"))
    listed = []
    for line, row in read_table(csv_path):
        name = bare_name(filled(csv_path, line, row, "file_name"))
        captions = tuple(filled(csv_path, line, row, column) for column in CAPTIONS)
        known = facts.get(_key(name), {})
        clip = Clip(name, "clotho", subset, None, None, captions, **known)
        listed.append((clip, [name]))
    where = root if audio else None
    return locate(listed, where, csv_path, within=(folder,), key=_key)


def _find_csv(root: Path, name: str) -> Path | None:
    candidates = (root / name, root / "clotho_csv_files" / name)
    return next(filter(Path.is_file, candidates), None)


def _metadata(csv_path: Path | None) -> dict[str, dict]:
    """Return the key of each clip -> its Freesound id and keywords."""
    facts: dict[str, dict] = {}
    # The published file is Latin-1; a copy saved again may be UTF-8.
    for line, row in read_table(csv_path, fallback="latin-1") if csv_path else ():
        name, words, sound_id = (
            filled(csv_path, line, row, column)
            for column in ("file_name", "keywords", "sound_id")
        )
        keywords = tuple(word.strip() for word in words.split(";") if word.strip())
        # Some sounds are no longer on Freesound: their id is "Not found".
        facts[_key(bare_name(name))] = {
            "freesound_id": freesound_id(sound_id),
            "keywords": keywords,
        }
    return facts


def _key(name: str) -> str:
    """Level what differs between a name in the CSV and on disk: blanks, entities."""
    return " ".join(html.unescape(name).split())
