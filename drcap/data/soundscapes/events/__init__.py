"""The generators of all classes of sound event, by the names of the vocabulary.

Each is a function of a random generator and a number of seconds; it returns
dsp.count(seconds) samples, float32, of peak 1.
"""

from collections.abc import Callable

import numpy as np

from drcap.data.soundscapes.events import (
    animals,
    home,
    impulses,
    music,
    people,
    tools,
    vehicles,
    weather,
)

MODULES = (weather, animals, vehicles, home, tools, people, music, impulses)

GENERATORS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    name: generate for module in MODULES for name, generate in module.GENERATORS.items()
}
