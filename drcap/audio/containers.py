"""Whether a recording is cut short: what its container promises, and what it holds.

libsndfile reads a file that breaks off early without complaint where it can. It does
note in its log (`extra_info`) what it found amiss, and some headers count their frames.
"""

import re

import soundfile

# Writers that stream cannot know the length: they leave a value near 2**31 or 2**32.
UNKNOWN_LENGTH = 0x7FFF_F000
# An mp3's header counts what its encoder was given: real files decode to a frame less.
MP3_SLACK = 4 * 1152

_SHORT_DATA = re.compile(
    r"^\s*(?:data|SSND|Data Size)\s*: (\d+) \(should be \d+\)", re.MULTILINE
)


def cut_short(recording: soundfile.SoundFile) -> bool:
    """Say whether an open wav, aiff, au or ogg ends before its container does."""
    log = recording.extra_info
    if recording.format == "OGG":
        return "lacks an end-of-stream bit" in log
    promised = _SHORT_DATA.search(log)
    return promised is not None and int(promised.group(1)) < UNKNOWN_LENGTH


def least_frames(recording: soundfile.SoundFile) -> int:
    """Return the number of frames that an open recording must decode to, at least."""
    if recording.format == "FLAC":
        # A streamed flac leaves its length open; libsndfile then reports the largest.
        return recording.frames if recording.frames < 2**62 else 0
    if recording.format == "MP3" and _counts_frames(recording.name):
        return recording.frames - MP3_SLACK
    return 0


def _counts_frames(path: str) -> bool:
    """Say whether an mp3's first frame counts the rest; else its length is a guess.

    libsndfile guesses well at a constant bit rate. At a variable one it may guess too
    little and stop there, but nearly every encoder that varies the rate counts.
    """
    with open(path, "rb") as stream:
        tag = stream.read(10)
        size = 0  # of an ID3 tag before it: four bytes of seven bits each
        for byte in tag[6:]:
            size = size << 7 | byte
        stream.seek(10 + size if tag.startswith(b"ID3") else 0)
        frame = stream.read(64)  # the count stands 13 to 36 bytes into the frame
    return b"Xing" in frame or b"Info" in frame
