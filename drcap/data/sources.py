"""What is published of each real dataset: where, how large, on what terms, how many.

Counts are those of the papers and of the published files; sizes are of the audio as
aac-datasets' pages state them, or None where nobody does. Nothing is fetched here.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from drcap.errors import DatasetError


@dataclass(frozen=True)
class Download:
    """One thing to download, and where below the dataset's folder it belongs."""

    what: str
    url: str
    size: str  # "not stated" where no page that was read says
    into: str


@dataclass(frozen=True)
class Source:
    """A dataset as published."""

    name: str
    title: str
    licence: str
    downloads: tuple[Download, ...]
    counted: str  # what `expected` counts: captions or clips
    expected: Mapping[str, Mapping[str, int]]  # subset -> which copy -> count
    folder: str | None = None  # where aac-datasets puts it, below its root
    fetched: Mapping[str, str] = field(default_factory=dict)  # subset -> its name there

    def verdict(self, subset: str, count: int) -> str:
        """Say which published copy has this count, or which counts were expected."""
        known = self.expected.get(subset, {})
        for copy, number in known.items():
            if number == count:
                return copy
        wanted = " or ".join(f"{number:,} ({copy})" for copy, number in known.items())
        return f"expected {wanted}" if wanted else "no published count"


_AUDIOCAPS_URL = "https://github.com/cdjkim/audiocaps/tree/master"
_ZENODO = "https://zenodo.org/records/4783391/files"
_WAVCAPS_URL = "https://huggingface.co/datasets/cvssp/WavCaps/tree/main"
_VECAPS_URL = "https://zenodo.org/records/12606207"

SOURCES = {
    source.name: source
    for source in (
        Source(
            "audiocaps",
            "AudioCaps",
            "captions: MIT (repository); audio: YouTube's terms, not redistributable",
            (
                Download(
                    "captions v1", f"{_AUDIOCAPS_URL}/dataset", "4 MB", "dataset/"
                ),
                Download(
                    "captions v2", f"{_AUDIOCAPS_URL}/dataset2.0", "8 MB", "dataset2.0/"
                ),
                Download(
                    "clips of 10 s from YouTube, <youtube_id>_<start>.wav or flac",
                    "https://www.youtube.com (with yt-dlp and ffmpeg; many are gone)",
                    "43 GB at 32 kHz",
                    "any folder",
                ),
            ),
            "captions",
            {
                "train": {
                    "v1": 49_838,
                    "v2": 91_256,
                    "aac-datasets' corrected v1": 49_810,
                    "the copy of DRCap's authors": 49_274,
                },
                "val": {"v1 and v2": 2_475, "the copy of DRCap's authors": 2_470},
                "test": {"v1 and v2": 4_875, "the copy of DRCap's authors": 4_785},
            },
            "AUDIOCAPS",
            {"train": "train", "val": "val", "test": "test"},
        ),
        Source(
            "clotho",
            "Clotho v2.1",
            "captions: Tampere University licence (non-commercial); "
            "audio: each clip's Creative Commons licence, in the metadata",
            tuple(
                download
                for subset, size in (
                    ("development", "7.1 GB unpacked"),
                    ("validation", "2.0 GB unpacked"),
                    ("evaluation", "2.0 GB unpacked"),
                )
                for download in (
                    Download(
                        f"captions and metadata, {subset}",
                        f"{_ZENODO}/clotho_captions_{subset}.csv and "
                        f"clotho_metadata_{subset}.csv",
                        "2 MB",
                        "clotho_csv_files/",
                    ),
                    Download(
                        f"audio, {subset}",
                        f"{_ZENODO}/clotho_audio_{subset}.7z (unpack with 7z x)",
                        size,
                        f"{subset}/",
                    ),
                )
            ),
            "clips",
            {
                "development": {"v2.1": 3_839},
                "validation": {"v2.1": 1_045},
                "evaluation": {"v2.1": 1_045},
            },
            "CLOTHO_v2.1",
            {"development": "dev", "validation": "val", "evaluation": "eval"},
        ),
        Source(
            "wavcaps",
            "WavCaps",
            "captions: CC BY 4.0; audio: academic use only, "
            "and the terms of each of its four sources",
            (
                Download(
                    "captions",
                    f"{_WAVCAPS_URL}/json_files",
                    "not stated",
                    "json_files/",
                ),
                *(
                    Download(
                        f"audio, {source}: {parts}",
                        f"{_WAVCAPS_URL}/Zip_files/{source}",
                        size,
                        f"Zip_files/{source}/",
                    )
                    for source, parts, size in (
                        ("AudioSet_SL", ".z01 and on, .zip", "64 GB unpacked"),
                        ("BBC_Sound_Effects", ".z01 and on, .zip", "142 GB unpacked"),
                        ("FreeSound", ".z01 and on, .zip", "1.4 TB unpacked"),
                        ("SoundBible", ".zip", "0.9 GB unpacked"),
                    )
                ),
            ),
            "clips",
            {
                "AudioSet_SL": {"published": 108_317},
                "BBC_Sound_Effects": {"published": 31_201},
                "FreeSound": {"published": 262_300},
                "SoundBible": {"published": 1_232},
            },  # 403,050 in all
            "WavCaps",
            {
                "AudioSet_SL": "audioset",
                "BBC_Sound_Effects": "bbc",
                "FreeSound": "freesound",
                "SoundBible": "soundbible",
            },
        ),
        Source(
            "soundvecaps",
            "Sound-VECaps",
            "as stated on its Zenodo page; audio: YouTube's terms",
            (
                Download(
                    "captions (1.66 M; _full with, _audio without what is only seen)",
                    _VECAPS_URL,
                    "not stated",
                    "./",
                ),
                Download(
                    "AudioSet's clips of 10 s, <youtube_id>.wav or flac",
                    "https://research.google.com/audioset (a fifth may still be there)",
                    "not stated",
                    "any folder",
                ),
            ),
            "clips",
            {
                name: {}
                for name in (
                    "Sound-VECaps_full",
                    "Sound-VECaps_audio",
                    "AudioCaps_Enhanced_full",
                    "AudioCaps_Enhanced_audio",
                )
            }
            | {
                "AudioCaps_Enhanced_full": {"published": 886},
                "AudioCaps_Enhanced_audio": {"published": 886},
            },
        ),
    )
}


def source_of(name: str) -> Source:
    """Return a dataset's entry; DatasetError lists the known names."""
    if name not in SOURCES:
        known = ", ".join(SOURCES)
        raise DatasetError(f"unknown data set {name!r}: choose from {known}")
    return SOURCES[name]
