"""The generators of all classes of sound event, by the names of the vocabulary.

Each is a function of a random generator and a number of seconds; it returns
dsp.count(seconds) samples, float32, of peak 1.
"""

from importlib import import_module

GROUPS = ("weather", "animals", "vehicles", "home", "people", "impulses")


def __getattr__(name: str):
    if name != "GENERATORS":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = [import_module(f"{__name__}.{group}") for group in GROUPS]
    return {
        name: make for module in modules for name, make in module.GENERATORS.items()
    }
