"""The form of a wire in Redis: what goes in comes out, and texts that follow each other as one."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.streaming.entries import Entry, decode, encode, key_of
from app.streaming.events import Done, Failed, Heard, Reasoning, Text
from tests.said import SAID, STARTED, stored, written


def fields_of(encoded):
    """The fields of an entry as Redis gives them back."""
    as_bytes = [item if isinstance(item, bytes) else str(item).encode() for item in encoded]
    return dict(zip(as_bytes[::2], as_bytes[1::2], strict=True))


def joined(heard):
    """Texts that follow each other as one, with the number of the last."""
    for kind, alike in groupby(heard, key=lambda item: type(item.event)):
        items = list(alike)
        if kind in (Text, Reasoning):
            yield Heard(kind("".join(item.event.text for item in items)), items[-1].number)
        else:
            yield from items


@given(SAID, st.integers(0, 10), st.integers(0, 10**6))
def test_an_entry_comes_back_as_it_went_in(said, first, offset):
    _, wire = written(said)
    heard = wire[first:] or wire
    entry = decode(fields_of(encode(heard, offset)))
    assert entry == Entry(heard[0].number, offset, list(joined(heard)))


@pytest.mark.parametrize("ending", ["done", "failed"])
def test_an_ending_is_told_without_what_it_holds(ending):
    answer, wire = written([])
    secret = stored(answer, content="the whole answer")
    event = Done(secret, 5) if ending == "done" else Failed("failed", "x", "Sorry.", secret, 5)
    encoded = encode([*wire, Heard(event, 1)], 0)
    assert decode(fields_of(encoded)) == Entry(0, 0, wire, is_last=True)
    assert b"the whole answer" not in encoded[-1]
    assert decode(fields_of(encode([Heard(event, 7)], 3))) == Entry(7, 3, [], is_last=True)


def test_a_text_in_many_pieces_costs_hardly_more_than_itself():
    text = "Đường về xứ Huế, 顺化. "
    heard = [Heard(Text(letter), number) for number, letter in enumerate(text * 50)]
    size = sum(len(str(item)) if not isinstance(item, bytes) else len(item)
               for item in encode(heard, 0))  # fmt: skip
    assert size <= len((text * 50).encode()) + 50


NO_ENTRIES = (
    b"", b"{", b"7", b"[1]", b"[[]]", b"[[1]]", b'[[1,"?"]]', b'[[1,"t"]]', b'"x"',
    b'[[1,"s",1,2,3,4,5]]', b'[[1,"t","a","b"]]', b'{"0":[1,"t","a"]}', b"\xff",
)  # fmt: skip


def test_what_is_no_entry_is_an_error_that_readers_expect():
    for events in NO_ENTRIES:
        try:
            entry = decode({b"f": b"0", b"o": b"0", b"e": events})
        except (ValueError, KeyError, TypeError, IndexError, AttributeError):
            continue
        pytest.fail(f"{events} was read as {entry}")


def test_a_wires_place_says_its_form():
    assert key_of(STARTED.message_id) == f"w:1:{STARTED.message_id}"
