"""What is put together of an answer whose process died, from its chunks and its wire."""

from hypothesis import given
from hypothesis import strategies as st

from app.responders.base import Contexts, ReasoningDelta, ToolCall, ToolResult
from app.streaming.entries import Entry
from app.streaming.events import Heard, Text
from app.streaming.recovery import recovered
from tests.said import SAID, written


def entries_of(wire, sizes):
    """A wire in entries of such sizes, the rest in one."""
    offset, entries = 0, []
    for size in [*sizes, len(wire)]:
        heard, wire = wire[:size], wire[size:]
        if heard:
            entries.append(Entry(heard[0].number, offset, heard))
            offset += sum(len(it.event.text) for it in heard if isinstance(it.event, Text))
    return entries


def recover(kept, entries):
    return recovered(kept, entries, max_bytes=10**6)


def reach(kept, entries):
    """How far what was kept, and a wire's entries from its place on, tell a text."""
    end = len(kept)
    for entry in entries:
        if entry.offset > end:
            break
        said = sum(len(it.event.text) for it in entry.heard if isinstance(it.event, Text))
        end = max(end, entry.offset + said)
    return end


SIZES = st.lists(st.integers(1, 4), max_size=8)


@given(SAID, SIZES, st.integers(0, 200), st.sets(st.integers(0, 8)))
def test_whatever_is_left_the_text_goes_on_as_far_as_it_is_known(said, sizes, length, lost):
    answer, wire = written(said)
    kept = answer.text[:length]
    left = [it for n, it in enumerate(entries_of(wire, sizes)) if n not in lost]
    text = recover(kept, left).text
    assert answer.text.startswith(text)
    assert len(text) == reach(kept, left)


@given(SAID, SIZES, st.integers(0, 200), st.integers(0, 8))
def test_a_wire_without_a_gap_brings_all_that_was_heard(said, sizes, length, count):
    answer, wire = written(said)
    left = entries_of(wire, sizes)[:count]
    heard = [item for entry in left for item in entry.heard]
    expected, _ = written(said[: max(len(heard) - 1, 0)])
    kept = expected.text[:length]
    found = recover(kept, left)
    assert (found.text, found.parts(), found.contexts) == (
        expected.text, expected.parts(), expected.contexts,
    )  # fmt: skip
    assert answer.text.startswith(found.text)


def test_what_was_done_before_the_first_word_is_not_lost():
    said = [ReasoningDelta("hm"), ToolCall("c", "search", {}), ToolResult("c", [1]),
            Contexts([{"page": 7}])]  # fmt: skip
    answer, wire = written(said)
    found = recover("", entries_of(wire, []))
    assert found.parts() == answer.parts()
    assert found.contexts == [{"page": 7}]


def test_without_a_wire_there_is_what_was_kept():
    assert recover("kept", []).text == "kept"
    assert recover("", []).text == ""


def test_what_does_not_go_on_from_what_was_kept_is_left_out():
    assert recover("kept", [Entry(5, 9, [Heard(Text("later"), 5)])]).text == "kept"
    assert recover("kept", [Entry(5, 4, [Heard(Text(" on"), 5)])]).text == "kept on"
