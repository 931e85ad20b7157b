from uuid import uuid4

from app.clock import now
from app.json_text import dumps, loads
from app.transcript import Transcript, Turn, estimate_tokens


def turn(content, **fields):
    known = {"id": uuid4(), "seq": 1, "parent_id": None, "role": "user", "status": "complete"}
    return Turn(**known | fields, content=content, created_at=now())


def test_a_turn_survives_its_json_form():
    for parent_id in (None, uuid4()):
        said = turn("Xin chào", parent_id=parent_id, metadata={"a": [1]}, contexts=[{"b": "c"}])
        assert Turn.from_json(loads(dumps(said))) == said


def test_the_last_turns_stay_within_count_and_tokens():
    turns = tuple(turn(letter * 8) for letter in "abcd")
    transcript = Transcript(turns)
    assert transcript.last(2, max_tokens=100).turns == turns[2:]
    assert transcript.last(9, max_tokens=6).turns == turns[1:]
    assert transcript.last(9, max_tokens=1).turns == ()
    assert transcript.last(0, max_tokens=100).turns == ()


def test_tokens_are_a_quarter_of_the_characters_rounded_up():
    assert [estimate_tokens("x" * n) for n in (0, 1, 4, 5)] == [0, 1, 1, 2]
