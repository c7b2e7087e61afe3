"""A kill at a chosen call, for the trainers that must resume after it."""


class Killed(Exception):
    pass


def kill_at(monkeypatch, owner, name, call, after=False):
    """Raise Killed at the given call of owner.name, before or after its work."""
    original, calls = getattr(owner, name), 0

    def fatal(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls != call:
            return original(*arguments, **options)
        if after:
            original(*arguments, **options)
        raise Killed

    monkeypatch.setattr(owner, name, fatal)
