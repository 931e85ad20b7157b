import pickle
import zlib

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.cache.values import Frame, Snapshot, Stamp, decode, encode

STAMP = Stamp("0197a000-0000-7000-8000-000000000001", "ana@example.org", 7, "rev-a")
RECORD = orjson.dumps({"title": "Words"})
ITEMS = [orjson.dumps({"content": text}) for text in ("one", "zwei", "ba\nđời", "🙂")]
HEADER = {
    "conversation_id": "c",
    "owner": "o",
    "version": 1,
    "rev": "r",
    "complete_from_start": True,
    "sizes": [1, 1],
}

scalars = st.characters(exclude_categories=["Cs"])
texts = st.text(scalars)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts
json_values = leaves | st.lists(leaves, max_size=3) | st.dictionaries(texts, leaves, max_size=3)
messages = st.lists(st.dictionaries(texts, json_values, max_size=3), max_size=6)
stamps = st.builds(Stamp, texts, texts, st.integers(0, 2**63 - 1), texts)


def value(*, complete_from_start=True):
    return encode(STAMP, RECORD, ITEMS, complete_from_start=complete_from_start)


def is_refused(value):
    try:
        decode(value)
    except ValueError:
        return True
    return False


def sealed(header, array=b"[1,2]", record=b"{}"):
    """A value with a right checksum, whatever it says."""
    line = header if isinstance(header, bytes) else orjson.dumps(header)
    told = b"%b\n%b\n%b" % (line, record, array)
    return b"%b\n%08x" % (told, zlib.crc32(told))


@given(stamps, messages, st.booleans())
def test_what_is_encoded_is_decoded(stamp, objects, is_complete):
    items = [orjson.dumps(message) for message in objects]
    frame = decode(encode(stamp, RECORD, items, complete_from_start=is_complete))
    assert (frame.stamp, frame.complete_from_start) == (stamp, is_complete)
    assert (frame.record, frame.array) == (RECORD, orjson.dumps(objects))
    assert frame.items() == items


@given(messages, st.integers(1, 8))
def test_the_newest_are_cut_out_without_parsing(objects, count):
    items = [orjson.dumps(message) for message in objects]
    found = decode(encode(STAMP, RECORD, items, complete_from_start=True)).newest(count)
    assert found is not None
    assert found.array == orjson.dumps(objects[-count:])
    assert found.loads() == objects[-count:]
    assert found.count == len(objects[-count:])
    assert found.complete_from_start == (count >= len(objects))


def test_more_than_is_there_is_found_only_when_nothing_came_before():
    assert decode(value(complete_from_start=True)).newest(5).count == 4
    assert decode(value(complete_from_start=False)).newest(5) is None
    assert decode(value(complete_from_start=False)).newest(4).count == 4


def test_an_exact_cut_of_an_incomplete_list_does_not_claim_the_start():
    found = decode(value(complete_from_start=False)).newest(4)
    assert not found.complete_from_start


def test_an_empty_conversation_is_an_empty_array():
    found = decode(encode(STAMP, RECORD, [], complete_from_start=True)).newest(50)
    assert (found.array, found.count, found.loads()) == (b"[]", 0, [])


def test_none_asked_is_an_empty_array():
    assert decode(value()).newest(0).array == b"[]"


def test_the_framing_is_the_documented_one():
    header, record, array, checksum = value().split(b"\n")
    assert orjson.loads(header)["sizes"] == [len(item) for item in ITEMS]
    assert record == RECORD
    assert array == b"[" + b",".join(ITEMS) + b"]"
    assert int(checksum, 16) == zlib.crc32(b"\n".join((header, record, array)))


@given(messages, st.integers(0, 8), st.booleans())
def test_a_snapshot_shows_what_its_value_shows(objects, count, is_complete):
    items = [orjson.dumps(message) for message in objects]
    snapshot = Snapshot(STAMP, RECORD, items, is_complete)
    found = decode(snapshot.encoded()).newest(count)
    assert found is None or not count or found == snapshot.newest(count)


def test_a_value_is_decoded_from_where_it_starts():
    assert decode(b"V 7\n" + value(), 4) == decode(value())


def test_the_forgery_helper_makes_values_that_are_accepted():
    assert isinstance(decode(sealed(HEADER, b"[1,2]")), Frame)


def test_a_value_truncated_anywhere_is_refused():
    whole = value()
    for end in range(len(whole)):
        assert is_refused(whole[:end])


def test_a_value_changed_anywhere_is_refused():
    whole = value()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 0x20
        assert is_refused(bytes(changed))


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(noise):
    assert is_refused(noise)


@given(st.binary(max_size=100), st.binary(max_size=100))
def test_random_bytes_with_a_right_checksum_are_refused(line, array):
    assert is_refused(sealed(line, array))


@given(st.fixed_dictionaries(dict.fromkeys(HEADER, json_values)))
def test_headers_of_other_types_are_refused_or_harmless(header):
    try:
        frame = decode(sealed(header))
    except ValueError:
        return
    assert sum(frame.sizes) + max(len(frame.sizes) - 1, 0) + 2 == len(frame.array)


WRONG = [
    {"version": True},
    {"version": 1.0},
    {"version": "1"},
    {"version": None},
    {"owner": None},
    {"owner": ["o"]},
    {"rev": 5},
    {"conversation_id": {"c": "c"}},
    {"complete_from_start": 1},
    {"sizes": {}},
    {"sizes": [2]},
    {"sizes": [1, 1, 1]},
    {"sizes": [1, 2**62]},
    {"sizes": [2**63, -(2**62)]},
    {"sizes": [-1, 3]},
    {"sizes": [0, 2]},
    {"sizes": [1.0, 1]},
    {"sizes": [True, 1]},
    {"sizes": ["1", 1]},
    {"sizes": [[1], 1]},
    {"more": 1},
]


def test_a_header_with_a_wrong_field_is_refused():
    for change in WRONG:
        assert is_refused(sealed(HEADER | change)), change


def test_a_header_that_lacks_a_field_is_refused():
    for name in HEADER:
        lacking = {key: it for key, it in HEADER.items() if key != name}
        assert is_refused(sealed(lacking)), name


def test_a_header_that_is_no_object_is_refused():
    for header in (b"null", b"[]", b"7", b'"x"', b"", b"[" * 100_000, b"{" * 9):
        assert is_refused(sealed(header)), header[:9]


def test_pickles_are_refused():
    assert is_refused(pickle.dumps({"owner": "ana@example.org"}))
    assert is_refused(sealed(pickle.dumps(HEADER)))
