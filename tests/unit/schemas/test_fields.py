import pytest
from marshmallow import ValidationError

from app.schemas.fields import ClientId, WholeNumber


@pytest.mark.parametrize("text", ["q-1", "Đà Nẵng 🏖", "👩‍👩‍👧", "می‌خواهم", " ", "x" * 64])
def test_an_id_of_a_client_is_taken_as_it_is(text):
    assert ClientId().deserialize(text) == text


@pytest.mark.parametrize(
    "text", ["", "x" * 65, "a\n", "a\tb", "\x85", "\u202e", "\u2066", "\ufeff"]
)
def test_an_id_with_marks_that_nobody_sees_is_refused(text):
    with pytest.raises(ValidationError):
        ClientId().deserialize(text)


@pytest.mark.parametrize(("value", "number"), [(2, 2), (2.0, 2), (0.0, 0), (-3, -3)])
def test_a_whole_number_is_one_however_json_writes_it(value, number):
    assert WholeNumber().deserialize(value) == number


@pytest.mark.parametrize("value", ["2", 2.5, True, float("inf"), [2]])
def test_what_is_no_whole_number_is_refused(value):
    with pytest.raises(ValidationError):
        WholeNumber().deserialize(value)
