"""A watcher that loses its wire hears the rest from the store: nothing twice, nothing missing."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.responders.base import Data
from app.streaming.events import Heard, Passages, Reasoning, Text
from app.streaming.parts import events_of
from app.streaming.tally import Tally
from tests.said import SAID, STARTED, stored, written


def heard_by(events):
    tally = Tally()
    for event in events:
        tally.note(event)
    return tally


def rest_of(tally, events):
    return [heard.event for heard in tally.rest(map(Heard, events))]


def text_of(events, kind=Text):
    return "".join(event.text for event in events if isinstance(event, kind))


def others_of(events):
    """What is no text, but for what is shown for a moment, and what is replaced by the next."""
    kinds = (Text, Reasoning, Passages)
    return [
        event
        for event in events
        if not isinstance(event, kinds)
        and not (isinstance(event, Data) and (event.is_transient or event.data_id))
    ]


@given(SAID, st.integers(0, 20))
def test_what_was_heard_and_the_rest_of_what_is_stored_are_the_whole(said, count):
    answer, wire = written(said)
    whole = [event for event, _ in wire]
    heard = whole[:count]
    told = heard + rest_of(heard_by(heard), [STARTED, *events_of(stored(answer))])
    assert text_of(told) == answer.text
    assert text_of(told, Reasoning) == text_of(whole, Reasoning)
    assert sorted(map(repr, others_of(told))) == sorted(map(repr, others_of(whole)))
    passages = [event.items for event in told if isinstance(event, Passages)]
    assert (passages[-1] if passages else None) == answer.contexts
    assert all(one != following for one, following in pairwise(passages))


@given(st.text("aé漢👩"), st.lists(st.integers(0, 20)))
def test_a_growing_text_is_told_once_however_often_it_is_looked_at(text, looks):
    tally, told = Tally(), []
    for length in [*sorted(looks), len(text)]:
        told += rest_of(tally, [Text(text[:length])])
    assert text_of(told) == text
    assert all(event.text for event in told)


def test_a_text_that_is_shorter_than_what_was_heard_tells_nothing():
    tally = heard_by([Text("as far as this")])
    assert rest_of(tally, [Text("as far")]) == []
    assert rest_of(tally, [Text("as far as this, and on")]) == [Text(", and on")]


def test_the_newest_state_of_data_is_told_to_who_heard_an_older_one():
    tally = heard_by([Data("progress", 1, "p")])
    assert rest_of(tally, [Data("progress", 2, "p")]) == [Data("progress", 2, "p")]
    assert rest_of(tally, [Data("progress", 2, "p")]) == []


def test_what_was_shown_for_a_moment_hides_nothing_that_is_kept():
    tally = heard_by([Data("chart", 1, is_transient=True)])
    assert rest_of(tally, [Data("chart", 2)]) == [Data("chart", 2)]


def test_a_silence_is_passed_on_and_an_event_keeps_its_number():
    tally = heard_by([Text("as far")])
    told = [Heard(Text("as far as this"), 3), None, Heard(Text(", and on"), 4)]
    assert list(tally.rest(told)) == [Heard(Text(" as this"), 3), None, Heard(Text(", and on"), 4)]
