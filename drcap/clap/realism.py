"""An outside check of the generators: does a tagger of real sounds know them?

YAMNet, trained on AudioSet, tags sounds of each generator alone. A class counts as
recognised if AudioSet's own name for it, that of its parent there or of a kind of it,
is among the likeliest five. What the tagger confuses a sound with is no hit.
"""

import numpy as np
import pandas as pd
import soxr

from drcap import assets
from drcap.clap.tag_bridge import pooled
from drcap.clap.yamnet import SR as TAGGER_SR
from drcap.clap.yamnet import YAMNet
from soundscapes.dsp import SR
from soundscapes.events import GENERATORS

TOP = 5
LEVEL = 0.3  # peak amplitude of a sound that is tagged
# fmt: off
ACCEPTED = {  # class -> its name in AudioSet, its parent's, its kinds'
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "wind": ("Wind", "Rustling leaves", "Wind noise (microphone)"),
    "thunder": ("Thunder", "Thunderstorm"), "stream": ("Stream", "Water"),
    "sea_waves": ("Waves, surf", "Ocean"), "dripping": ("Drip", "Liquid"),
    "fire": ("Fire", "Crackle"),
    "dog": ("Dog", "Bark", "Yip", "Domestic animals, pets"),
    "cat": ("Cat", "Meow", "Domestic animals, pets"),
    "rooster": ("Chicken, rooster", "Crowing, cock-a-doodle-doo", "Fowl"),
    "bird_song": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet"),
    "crow": ("Crow", "Caw", "Bird"), "owl": ("Owl", "Hoot", "Bird"),
    "cricket": ("Cricket", "Insect"), "frog": ("Frog", "Croak"),
    "horse_gallop": ("Horse", "Clip-clop"), "bee": ("Bee, wasp, etc.", "Insect"),
    "car_passing": ("Car passing by", "Car"), "engine_idling": ("Idling", "Engine"),
    "motorcycle": ("Motorcycle", "Motor vehicle (road)"),
    "train": ("Train", "Train horn", "Rail transport"),
    "helicopter": ("Helicopter", "Aircraft"), "siren": ("Siren", "Alarm"),
    "horn": ("Vehicle horn, car horn, honking", "Toot"),
    "aeroplane": ("Fixed-wing aircraft, airplane", "Aircraft"),
    "clock": ("Clock", "Tick-tock", "Tick"),
    "typing": ("Typing", "Computer keyboard", "Typewriter"),
    "door_knock": ("Knock", "Door"), "door_creak": ("Creak",),
    "glass_breaking": ("Shatter", "Glass"), "hammering": ("Hammer", "Tools"),
    "saw": ("Sawing", "Tools"), "drill": ("Drill", "Power tool"),
    "vacuum_cleaner": ("Vacuum cleaner",),
    "phone_ringing": ("Telephone", "Telephone bell ringing", "Ringtone"),
    "alarm": ("Alarm", "Smoke detector, smoke alarm"), "kettle": ("Whistle",),
    "footsteps": ("Walk, footsteps",), "applause": ("Applause",),
    "crowd": ("Crowd", "Hubbub, speech noise, speech babble", "Chatter"),
    "whistling": ("Whistling",),
    "laughter": ("Laughter", "Giggle", "Chuckle, chortle", "Belly laugh"),
    "speech": ("Speech", "Conversation"),
    "plucked_string": ("Plucked string instrument", "Guitar", "Musical instrument"),
    "piano": ("Piano", "Electric piano", "Keyboard (musical)"),
    "drum": ("Drum", "Drum kit", "Percussion"),
    "bell": ("Bell", "Church bell", "Chime"),
    "gunshot": ("Gunshot, gunfire", "Explosion"),
    "explosion": ("Explosion", "Burst, pop"),
    "camera_click": ("Camera", "Single-lens reflex camera"),
}
# fmt: on


def tagger_check(
    seeds: int = 5, seconds: float = 8.0, tagger: YAMNet | None = None
) -> pd.DataFrame:
    """Let the tagger name `seeds` sounds of every class -> one row a class.

    Columns: class, hits (share of the sounds recognised), recognised (most were), and
    top5 (the tagger's names of the first). The best recognised come first.
    """
    tagger = tagger or YAMNet(assets.asset_path("yamnet"))
    rows = []
    for name in GENERATORS:
        names = [_names(name, seed, seconds, tagger) for seed in range(seeds)]
        hits = float(np.mean([bool({*ACCEPTED[name]} & {*top}) for top in names]))
        rows.append((name.replace("_", " "), hits, hits > 0.5, "; ".join(names[0])))
    table = pd.DataFrame(rows, columns=["class", "hits", "recognised", "top5"])
    return table.sort_values("hits", ascending=False, kind="stable", ignore_index=True)


def _names(name: str, seed: int, seconds: float, tagger: YAMNet) -> list[str]:
    """Return the tagger's likeliest names of one sound, the likeliest first."""
    wave = LEVEL * GENERATORS[name](np.random.default_rng(seed), seconds)
    tags = pooled(tagger.tag(soxr.resample(wave, SR, TAGGER_SR)))
    return [tagger.class_names[c] for c in np.argsort(-tags, kind="stable")[:TOP]]
