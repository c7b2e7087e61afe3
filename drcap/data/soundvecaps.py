"""Sound-VECaps (Yuan et al., 2024): captions of AudioSet clips, written by a machine.

Only captions and ids are published, as CSV files whose columns are not documented: they
may be named. The audio is what a reader has of AudioSet; most of its links are dead,
and what is missing is listed.
"""

from pathlib import Path

from tqdm import tqdm

from drcap.data.clip import Clip, Subset
from drcap.data.identities import locate, youtube_id
from drcap.data.tables import filled, read_table


def read_soundvecaps(
    root: Path | str,
    subset: str,
    *,
    audio: bool = True,
    id_column: str | None = None,
    caption_column: str | None = None,
) -> Subset:
    """Read the captions of `<subset>.csv`, those of one id as one clip.

    Recordings anywhere under `root` are named by YouTube id, perhaps with a `Y` before
    it and the start and the end behind it.

    audio : if False, none is looked for, and every clip's path is None
    id_column, caption_column : None: `id` and `caption`
    Raises DatasetError: no such file or column, a malformed row, no clip.
    """
    root, csv_path = Path(root), Path(root, f"{subset}.csv")
    captions: dict[str, list[str]] = {}
    rows = tqdm(read_table(csv_path), csv_path.name, unit="row", leave=False, delay=2)
    for line, row in rows:
        name = youtube_id(filled(csv_path, line, row, id_column or "id"))
        caption = filled(csv_path, line, row, caption_column or "caption")
        captions.setdefault(name, []).append(caption)
    base = ("soundvecaps", subset, None, None)
    listed = (
        (Clip(name, *base, tuple(texts), youtube_id=name, weak=True), [name])
        for name, texts in captions.items()
    )
    return locate(listed, root if audio else None, csv_path, key=youtube_id)
