import pytest

from app.errors import MalformedError
from app.storable import MAX_DEPTH, check_storable


def nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [None, 1, "Huế 🇻🇳", {"a": ["b", {"c": 1.5}]}, nested(MAX_DEPTH)])
def test_what_can_be_stored_passes_unchanged(value):
    assert check_storable(value) is value


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ("a\0b", "/"),
        ({"message": "half \ud83d"}, "/message"),
        ({"messages": [{"content": "fine"}, {"content": "\0"}]}, "/messages/1/content"),
        ({"a\0": 1}, "/"),
    ],
)
def test_nul_and_half_surrogates_are_refused_with_their_place(value, place):
    with pytest.raises(MalformedError, match=f"^{place} "):
        check_storable(value)


def test_bottomless_nesting_is_refused_without_recursion():
    with pytest.raises(MalformedError, match="levels deep"):
        check_storable(nested(1000))
