from marshmallow import ValidationError

from app.schemas.fields import ClientId, WholeNumber
from tests.refusals import refusal_of


def test_an_id_of_a_client_is_taken_as_it_is():
    for text in ("q-1", "Đà Nẵng 🏖", "👩‍👩‍👧", "می‌خواهم", " ", "x" * 64):
        assert ClientId().deserialize(text) == text, text


def test_an_id_with_marks_that_nobody_sees_is_refused():
    for text in ("", "x" * 65, "a\n", "a\tb", "\x85", "\u202e", "\u2066", "\ufeff"):
        assert refusal_of(ValidationError, ClientId().deserialize, text), text


def test_a_whole_number_is_one_however_json_writes_it():
    for value, number in ((2, 2), (2.0, 2), (0.0, 0), (-3, -3)):
        assert WholeNumber().deserialize(value) == number, value


def test_what_is_no_whole_number_is_refused():
    for value in ("2", 2.5, True, float("inf"), [2]):
        assert refusal_of(ValidationError, WholeNumber().deserialize, value), value
