"""A kill at a chosen call, for the trainers that must resume after it."""


class Killed(Exception):
    pass


def kill_at(monkeypatch, owner, name, call, after=False):
    """Raise Killed at the given call of owner.name, before or after its work."""
    calls, original = iter(range(1, 1000)), getattr(owner, name)

    def fatal(*arguments, **options):
        last = next(calls) == call
        if last and not after:
            raise Killed
        result = original(*arguments, **options)
        if last:
            raise Killed
        return result

    monkeypatch.setattr(owner, name, fatal)
