"""The generators of all classes of sound event, by the names of the vocabulary.

Each is a function of a random generator and a number of seconds; it returns
dsp.count(seconds) samples, float32, of peak 1.
"""

from collections.abc import Callable

import numpy as np

from soundscapes.events import animals, home, impulses, people, vehicles, weather
from soundscapes.vocabulary import VOCABULARY

_MODULES = (weather, animals, vehicles, home, people, impulses)

GENERATORS: dict[str, Callable[[np.random.Generator, float], np.ndarray]] = {
    name: function
    for module in _MODULES
    for name, function in vars(module).items()
    if name in VOCABULARY
}
