"""A corpus anyone can have: synthetic sound scenes with captions and exact truth.

In reading order:

- `dsp.py`, `events/`   the sounds, one generator a class
- `rooms.py`            distance and reverberation
- `vocabulary.py`       the classes, and how people speak of them
- `scenes.py`, `rendering.py`     what happens in a clip, and its sound
- `phrases.py`, `sentences.py`, `grammar.py`   captions from a scene's truth
- `addresses.py`, `copies.py`, `clips.py`      each clip of the three corpora
- `layouts.py`, `corpora.py`      the corpora on disk, as the real datasets' are
- `realism.py`          which classes a pretrained tagger recognises
"""
