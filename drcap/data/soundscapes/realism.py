"""An outside check of the generators: does a tagger of real sounds know them?

YAMNet, trained on AudioSet, hears each generator alone. A class counts as recognised if
AudioSet's own name for it, that of its parent there or of a kind of it, is among the
likeliest five. What the tagger confuses a sound with is no hit, however close.
"""

import numpy as np
import pandas as pd
import soxr

from drcap import assets
from drcap.clap.tag_bridge import pooled
from drcap.clap.yamnet import SR as TAGGER_SR
from drcap.clap.yamnet import YAMNet
from drcap.data.soundscapes.dsp import SR
from drcap.data.soundscapes.events import GENERATORS

TOP = 5
LEVEL = 0.3  # peak amplitude at which the tagger hears a sound
ACCEPTED = {  # class -> its name in AudioSet, its parent's, its kinds'
    "rain": ("Rain", "Raindrop", "Rain on surface"),
    "wind": ("Wind", "Rustling leaves", "Wind noise (microphone)"),
    "thunder": ("Thunder", "Thunderstorm"),
    "stream": ("Stream", "Water"),
    "sea_waves": ("Waves, surf", "Ocean"),
    "dripping": ("Drip", "Liquid"),
    "fire": ("Fire", "Crackle"),
    "dog": ("Dog", "Bark", "Yip", "Domestic animals, pets"),
    "cat": ("Cat", "Meow", "Domestic animals, pets"),
    "rooster": ("Chicken, rooster", "Crowing, cock-a-doodle-doo", "Fowl"),
    "bird_song": ("Bird", "Bird vocalization, bird call, bird song", "Chirp, tweet"),
    "crow": ("Crow", "Caw", "Bird"),
    "owl": ("Owl", "Hoot", "Bird"),
    "cricket": ("Cricket", "Insect"),
    "frog": ("Frog", "Croak"),
    "horse_gallop": ("Horse", "Clip-clop"),
    "bee": ("Bee, wasp, etc.", "Insect"),
    "car_passing": ("Car passing by", "Car"),
    "engine_idling": ("Idling", "Engine"),
    "motorcycle": ("Motorcycle", "Motor vehicle (road)"),
    "train": ("Train", "Train horn", "Rail transport"),
    "helicopter": ("Helicopter", "Aircraft"),
    "siren": ("Siren", "Alarm"),
    "horn": ("Vehicle horn, car horn, honking", "Toot"),
    "aeroplane": ("Fixed-wing aircraft, airplane", "Aircraft"),
    "clock": ("Clock", "Tick-tock", "Tick"),
    "typing": ("Typing", "Computer keyboard", "Typewriter"),
    "door_knock": ("Knock", "Door"),
    "door_creak": ("Creak",),
    "glass_breaking": ("Shatter", "Glass"),
    "hammering": ("Hammer", "Tools"),
    "saw": ("Sawing", "Tools"),
    "drill": ("Drill", "Power tool"),
    "vacuum_cleaner": ("Vacuum cleaner",),
    "phone_ringing": ("Telephone", "Telephone bell ringing", "Ringtone"),
    "alarm": ("Alarm", "Smoke detector, smoke alarm"),
    "kettle": ("Whistle",),
    "footsteps": ("Walk, footsteps",),
    "applause": ("Applause",),
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


def tagger_check(
    seeds: int = 5, seconds: float = 8.0, tagger: YAMNet | None = None
) -> pd.DataFrame:
    """Let the tagger hear every class `seeds` times -> one row a class.

    Columns: class, hits (share of the sounds recognised), recognised (most were), and
    top5 (what the tagger hears in the first). The best recognised come first.
    """
    tagger = tagger or YAMNet(assets.asset_path("yamnet"))
    rows = []
    for name in GENERATORS:
        heard = [_heard(name, seed, seconds, tagger) for seed in range(seeds)]
        hits = np.mean([bool({*ACCEPTED[name]} & {*top}) for top in heard])
        rows.append(
            {
                "class": name.replace("_", " "),
                "hits": float(hits),
                "recognised": bool(hits > 0.5),
                "top5": "; ".join(heard[0]),
            }
        )
    table = pd.DataFrame(rows)
    return table.sort_values("hits", ascending=False, kind="stable", ignore_index=True)


def _heard(name: str, seed: int, seconds: float, tagger: YAMNet) -> list[str]:
    """Return the tagger's likeliest names of one sound, the likeliest first."""
    wave = LEVEL * GENERATORS[name](np.random.default_rng(seed), seconds)
    over_time = tagger.tag(soxr.resample(wave, SR, TAGGER_SR))
    likeliest = np.argsort(-pooled(over_time), kind="stable")[:TOP]
    return [tagger.class_names[place] for place in likeliest]
