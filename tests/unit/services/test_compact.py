"""A compact token is read in one way, or not at all."""

import base64
import json

import pytest

from app.errors import IdentityError
from app.services.compact import MAX_TOKEN_BYTES, read_compact


def part(value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def refuses(token):
    try:
        read_compact(token)
    except IdentityError as error:
        return error.__cause__ is None and (error.__suppress_context__ or not error.__context__)
    return False


def test_header_and_claims_are_what_the_first_two_parts_say():
    compact = read_compact(f"{part({'alg': 'x'})}.{part({'iss': 'ü', 'n': [1.5, None]})}.AA")
    assert compact.header == {"alg": "x"}
    assert compact.claims == {"iss": "ü", "n": [1.5, None]}


def test_the_longest_token_is_8192_bytes():
    head, tail = part({}), f"{part({})}."
    filled = f"{head}.{tail}" + "A" * (MAX_TOKEN_BYTES - len(head) - len(tail) - 1)
    assert MAX_TOKEN_BYTES == 8192
    assert read_compact(filled).claims == {}
    assert refuses(filled + "AAAA")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_there_is_one_way_to_write_each_part(place):
    """`{"a":1}` takes ten letters of which the last has four unused bits, `??>` has - and _."""
    for good, spellings in {
        "eyJhIjoxfQ": ["eyJhIjoxfR", "eyJhIjoxfQ==", "eyJhIjoxfQ=", "eyJhIjoxfQ\n", " eyJhIjoxfQ"],
        "eyJhIjoiPz8-In0": ["eyJhIjoiPz8+In0", "eyJhIjoiPz8!-In0", "eyJhIjoiPz8-In0AA", "eyJhé"],
        "eyJhIjoiPz8_In0": ["eyJhIjoiPz8/In0", "eyJhIjoiPz8_\tIn0", "eyJhIjoiPz8_In0=", "\0eyJ"],
    }.items():
        parts = ["e30", "e30", "AA"]
        parts[place] = good
        assert read_compact(".".join(parts))
        for spelling in spellings:
            parts[place] = spelling
            assert refuses(".".join(parts)), spelling


def test_a_name_that_stands_twice_anywhere_is_refused():
    for text in (
        b'{"a":1,"a":1}',
        rb'{"a":1,"\u0061":1}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[1,[{"a":1,"a":2}]]}',
        b'{"":1,"":2}',
        rb'{"\ud83d\ude00":1,"\uD83D\uDE00":2}',
    ):
        assert refuses(f"{part(text)}.e30.AA"), text
        assert refuses(f"e30.{part(text)}.AA"), text
    once = b'{"a":{"a":1},"A":1}'
    assert read_compact(f"e30.{part(once)}.AA")


def test_what_only_python_takes_for_json_is_refused():
    for text in (
        b'{"a":NaN}', b'{"a":[Infinity]}', b'{"a":-Infinity}', b"{'a':1}", b"{a:1}", b'{"a":1,}',
        b'{"a":01}', b'{"a":+1}', b'{"a":"\n"}', b'\xef\xbb\xbf{"a":1}', b'{"a":1}\0', b"{}{}",
        b"[]", b"null", b"1", b'"a"', b"", b" ", b"{", b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}',
        '{"a":1}'.encode("utf-16"), '{"a":1}'.encode("utf-16-le"), '{"a":1}'.encode("utf-32"),
        b'{"a":' + b"9" * 5000 + b"}",
    ):  # fmt: skip
        assert refuses(f"{part(text)}.e30.AA"), text
        assert refuses(f"e30.{part(text)}.AA"), text


def test_three_parts_make_a_token_however_deep_they_are():
    for token in ("", ".", "..", "e30.e30", "e30.e30.AA.AA", "e30.e30.AA.AA.AA", "." * 9000):
        assert refuses(token), token
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b"[", b"")):
        deep = b'{"a":' + opening * 1000 + b"1" + closing * 1000 + b"}"
        assert refuses(f"e30.{part(deep)}.AA")
