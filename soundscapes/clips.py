"""What each clip of the three corpora is: its scene, its captions, its names.

A clip depends only on the configuration and its address, so that any process can make
any clip at any time.
"""

from dataclasses import dataclass

import numpy as np

from soundscapes import SoundscapesConfig, captions, dsp
from soundscapes.addresses import (
    AUDIOSET,
    FREESOUND,
    Address,
    identity,
    keeps_identity,
    original_of,
    stream,
)
from soundscapes.rendering import render
from soundscapes.scenes import Scene, compose
from soundscapes.vocabulary import VOCABULARY, classes_of

AC_SECONDS, CL_SECONDS, WEAK_SECONDS = 10.0, (15.0, 30.0), (5.0, 30.0)
VARIED_SHARE = 0.5  # of the weak clips that pass for Freesound's: not 10 s long
# how the copies under an id of their own are altered
OFFSET = (-0.5, 0.5)  # seconds
GAIN = (-9.0, -1.0)  # dB
NOISE = (-62.0, -52.0)  # dB relative to full scale
CUTOFF = (5_000.0, 12_000.0)  # Hz


@dataclass(frozen=True)
class Alteration:
    """How a copy differs from the clip that it was made from."""

    offset: float  # seconds cut from the start, or of lead-in if below 0
    gain: float  # dB
    noise: float  # dB relative to full scale, white
    cutoff: float  # Hz, of a low-pass

    def apply(self, wave: np.ndarray, seed: int) -> np.ndarray:
        """Return what sounds like `wave` (n,), although no two samples agree."""
        lead = np.zeros(max(0, round(-self.offset * dsp.SR)), dtype=np.float32)
        wave = np.concatenate([lead, wave[max(0, round(self.offset * dsp.SR)) :]])
        wave = 10 ** (self.gain / 20) * dsp.band(wave, high=self.cutoff)
        hiss = dsp.noise(np.random.default_rng(seed), len(wave))
        return (wave + 10 ** (self.noise / 20) * hiss).clip(-1, 1)


@dataclass(frozen=True)
class SoundscapeClip:
    """One clip of a corpus, all but its samples."""

    address: Address
    source: str  # whose clip it passes for, AudioSet_SL or FreeSound
    source_id: str
    scene: Scene
    captions: tuple[str, ...]
    original: Address | None = None  # the clip that it is a copy of
    alteration: Alteration | None = None

    @property
    def seconds(self) -> float:
        """How long its recording is."""
        cut = self.alteration.offset if self.alteration else 0.0
        return round(self.scene.seconds - cut, 3)

    @property
    def start(self) -> int:
        """Where in its video a clip of AudioSet starts, in seconds."""
        return 10 * (int.from_bytes(self.source_id.encode()) % 30)

    @property
    def keywords(self) -> list[str]:
        """The surest keyword of each of its events."""
        return [VOCABULARY[event.name].keywords[0] for event in self.scene.events]

    @property
    def name(self) -> str:
        """The name of its recording, without the suffix."""
        if self.address.corpus == "ac":
            return f"{self.source_id}_{self.start}"
        if self.address.corpus == "cl":
            return " ".join([*self.keywords[:2], self.source_id])
        return f"Y{self.source_id}" if self.source == AUDIOSET else self.source_id

    @property
    def clip_id(self) -> str:
        """The id under which the corpus' reader returns it."""
        weak = self.address.corpus == "weak"
        return f"{self.source}/{self.name}" if weak else self.name

    @property
    def file(self) -> str:
        """The path of its recording in the corpus' folder."""
        corpus, subset, _ = self.address
        folder = subset if corpus == "cl" else f"audio/{subset}"
        if corpus == "weak":
            folder = f"audio/{self.source}"
        return f"{folder}/{self.name}.flac"

    def samples(self) -> np.ndarray:
        """Return its sound, (n,) float32 at dsp.SR."""
        wave = render(self.scene)
        if self.alteration is None:
            return wave
        return self.alteration.apply(wave, self.scene.seed)


def scene_of(address: Address, config: SoundscapesConfig) -> Scene:
    """Return the scene of a clip; of a copy, that of its original."""
    corpus = address.corpus
    original = original_of(address, config) if corpus == "weak" else None
    if original is not None:
        return scene_of(original, config)
    rng = stream(address, config, "scene")
    seconds = AC_SECONDS
    if corpus == "cl":
        seconds = round(float(rng.uniform(*CL_SECONDS)), 1)
    elif corpus == "weak" and identity(address, config)[0] == FREESOUND:
        if rng.random() < VARIED_SHARE:
            seconds = round(float(rng.uniform(*WEAK_SECONDS)), 1)
    return compose(rng, classes_of(corpus), seconds)


def clip_of(address: Address, config: SoundscapesConfig) -> SoundscapeClip:
    """Return all of a clip but its samples."""
    scene = scene_of(address, config)
    texts = _captions(address, config, scene)
    known_as, original, alteration = address, None, None
    if address.corpus == "weak":
        original = original_of(address, config)
    if original is not None:
        if keeps_identity(address, config):
            known_as = original
        else:
            alteration = alteration_of(address, config)
    source, source_id = identity(known_as, config)
    facts = (source, source_id, scene, texts, original, alteration)
    return SoundscapeClip(address, *facts)


def alteration_of(weak: Address, config: SoundscapesConfig) -> Alteration:
    """Return how a copy under an id of its own is altered."""
    rng = stream(weak, config, "alteration")
    return Alteration(
        offset=round(float(rng.uniform(*OFFSET)), 3),
        gain=round(float(rng.uniform(*GAIN)), 1),
        noise=round(float(rng.uniform(*NOISE)), 1),
        cutoff=round(float(rng.uniform(*CUTOFF))),
    )


def _captions(
    address: Address, config: SoundscapesConfig, scene: Scene
) -> tuple[str, ...]:
    rng = stream(address, config, "captions")
    if address.corpus == "weak":
        return (captions.weak(scene, rng),)
    if address.corpus == "cl":
        return captions.five_clotho_like(scene, rng)
    if address.subset == "train":
        return (captions.audiocaps_like(scene, rng),)
    return captions.five_references(scene, rng)
