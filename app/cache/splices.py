"""What a value becomes by a write that tells all that is new: cut and joined, never parsed."""

from ..writes import Said, Written
from .fence import Ending
from .values import Frame, Stamp, encode, is_oversize


def spliced(frame: Frame | None, written: Written, *, stamp: Stamp, limit: int, most: int) -> bytes:
    """The value after a write, of another `stamp`; b"" where it can't be told.

    It can from a value of the revision before. More than `most` messages are cut back to `limit`.
    """
    before = Frame(stamp, b"", b"[]", [], True) if written.is_whole else frame
    if before is None or written.record is None or not _follows(stamp, before, written):
        return b""
    items = before.items()
    for said in written.changed:
        place = _place(items, said)
        if place is None:
            return b""
        items[place] = said.json
    items += [said.json for said in written.appended]
    is_long = len(items) > most
    kept, is_complete = items[-limit:] if is_long else items, before.complete_from_start
    value = encode(stamp, written.record, kept, complete_from_start=is_complete and not is_long)
    return b"" if is_oversize(value) else value


def _follows(stamp: Stamp, before: Frame, written: Written) -> bool:
    return written.is_whole or before.stamp.version == stamp.version - 1


def restored(frame: Frame | None) -> Ending:
    """What was there before a write that came to nothing."""
    if frame is None:
        return Ending(0)
    value = encode(
        frame.stamp, frame.record, frame.items(), complete_from_start=frame.complete_from_start
    )
    return Ending(frame.stamp.version, value)


def _place(items: list[bytes], said: Said) -> int | None:
    """Where a message stands: its id is the first member of its JSON."""
    beginning = b'{"id":"%b"' % str(said.message_id).encode()
    places = range(len(items) - 1, -1, -1)
    return next((place for place in places if items[place].startswith(beginning)), None)
