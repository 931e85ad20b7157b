"""Refusals as text, for tests that try many cases in a loop and name the one that fails."""


def refusal_of(error, act, *arguments, **words):
    """The message of the `error` that `act` raises, '' where it raises none."""
    try:
        act(*arguments, **words)
    except error as refusal:
        return str(refusal)
    return ""
