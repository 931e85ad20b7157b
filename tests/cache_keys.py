"""What a conversation's key may be, and what each step makes of it: the table of the protocol.

The model explores it, and the scripts in Redis are held against it.
"""

from typing import NamedTuple


class Value(NamedTuple):
    """The content of a version, which it says it is of."""

    version: int
    content: int


class Marked(NamedTuple):
    """No value: nothing older than `floor` may come, writers are at it, or one reader may fill.

    Marks run out in the order in which they came: they last equally long.
    """

    floor: int = 0
    lease: object = None
    marks: tuple[object, ...] = ()


ABSENT = None
Key = Value | Marked | None


def marks_of(key: Key) -> tuple[object, ...]:
    return key.marks if isinstance(key, Marked) else ()


def _without(marks: tuple[object, ...], token: object) -> tuple[object, ...]:
    return tuple(mark for mark in marks if mark != token)


def floor_of(key: Key) -> int:
    return key.floor if isinstance(key, Marked) else 0


def begun(key: Key, token: object) -> tuple[Key, Value | None]:
    """BEGIN: the key, and the value that was there."""
    value = key if isinstance(key, Value) else None
    return Marked(floor_of(key), None, (*_without(marks_of(key), token), token)), value


def ended(key: Key, token: object, version: int, value: Value | None) -> Key:
    """END; `token` of nobody: as upkeep tells it."""
    if key is ABSENT:
        return ABSENT
    if isinstance(key, Value):
        return key if key.version >= version else ABSENT
    if key.lease is not None:
        return ABSENT
    marks, floor = _without(key.marks, token), max(key.floor, version)
    if value and not marks and token in key.marks and version >= floor:
        return value
    return Marked(floor, None, marks)


def was_read(key: Key, nonce: object) -> tuple[Key, bool]:
    """READ where there is no value: the key, and whether the reader may fill it."""
    if isinstance(key, Value) or marks_of(key):
        return key, False
    return Marked(floor_of(key), nonce), True


def filled(key: Key, nonce: object, version: int) -> Key:
    """FILL; `nonce` None: whoever has the lease."""
    is_leased = isinstance(key, Marked) and key.lease == nonce and not key.marks
    is_new = version >= floor_of(key)
    if nonce is None:
        return Value(version, version) if not isinstance(key, Value) else key
    return Value(version, version) if is_leased and is_new else key


def expired(key: Key) -> Key:
    """The oldest mark has run out; the rest stays."""
    return key._replace(marks=key.marks[1:]) if isinstance(key, Marked) else key
