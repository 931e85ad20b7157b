import json
import re

import pytest

from app.errors import MalformedError
from app.storable import MAX_DEPTH, MAX_VALUES, check_storable, pointer_to, read_json
from tests.refusals import refusal_of

LONGEST = [2**64 - 1, -(2**63)]
UNTAKEN = {
    rb"": "The request body is empty",
    rb"[": r"The request body is not valid JSON \(line 1, column 2\)",
    rb"[NaN]": "The request body is not valid JSON",
    b"[" * 100_000: "The request body is not valid JSON",
    b"[" + b"9" * 5000 + b"]": "The request body is not valid JSON",
    rb'{"a": "\ud800"}': "/a holds",
    rb'{"a": [1, "\udc00\ud800"]}': "/a/1 holds",
    b'{"a": {"b": "\xff"}}': "/a/b holds",
    b'{"a": "\xed\xa0\x80"}': "/a holds",
    rb'{"a": {"\udfff": 1}}': "/a holds",
    rb'{"a": "\u0000"}': "/a holds",
    rb'{"a/b": {"~": "\ud800"}}': "/a~1b/~0 holds",
    b'{"a": [18446744073709551616]}': "/a/0 is an integer",
    b'{"a": -9223372036854775809}': "/a is an integer",
    b'{"a": %b}' % (b"9" * 300): "/a is an integer",
    b"[" * 65 + b"1" + b"]" * 65: "(/0){65} is nested",
    b'{"a": [%b0]}' % (b"0," * MAX_VALUES): "/a is one of more than 100000 values",
    b'{"a": [%b[%b0]]}' % ((b"0," * 60_000,) * 2): "/a/60000 is one of more than",
    b'{"a": [%b0]}' % (b"1e307," * 3000): r"/a/\d+ is one of .* too many digits",
}


def nested(depth):
    value = "x"
    for _ in range(depth):
        value = [value]
    return value


def test_what_can_be_stored_passes_unchanged():
    for value in (None, 1, "Huế 🇻🇳", {"a": ["b", {"c": 1.5}]}, nested(MAX_DEPTH), LONGEST):
        assert check_storable(value) is value, value
        assert read_json(json.dumps(value).encode()) == value, value


UNSTORABLE = [
    ("a\0b", "/"),
    ({"message": "half \ud83d"}, "/message"),
    ({"messages": [{"content": "fine"}, {"content": "\0"}]}, "/messages/1/content"),
    ({"a\0": 1}, "/"),
    ({"a/b": {"~": ["\0"]}}, "/a~1b/~0/0"),
    ([2**64], "/0"),
]


def test_what_can_not_be_stored_is_refused_with_its_place():
    for value, place in UNSTORABLE:
        assert refusal_of(MalformedError, check_storable, value).startswith(f"{place} "), value


def test_bottomless_nesting_is_refused_without_recursion():
    with pytest.raises(MalformedError, match="levels deep"):
        check_storable(nested(1000))


def test_json_that_can_not_be_taken_is_refused_with_its_place():
    for text, refusal in UNTAKEN.items():
        assert re.match(refusal, refusal_of(MalformedError, read_json, text)), text[:40]


def test_long_digits_are_no_long_integers_where_they_are_text_or_a_fraction():
    digits = "9" * 40
    given = {digits: [digits, 0.12345678901234567890123, 1e300]}
    assert read_json(json.dumps(given).encode()) == given


def test_names_are_escaped_in_pointers():
    assert pointer_to(pointer_to("", "a~/b~1"), 0) == "/a~0~1b~01/0"
