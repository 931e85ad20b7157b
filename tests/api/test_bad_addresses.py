"""An address, a query or a method that names nothing is refused, and nothing is changed by it."""

import base64
import json
from urllib.parse import quote

import pytest

from tests.evidence import assert_problem, pointers

from .routes import MESSAGES, ONE

NOTHING = "0190b2a4-0000-7000-8000-00000000000a"
SAID = {"role": "user", "content": "Hello"}
METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}

pytestmark = pytest.mark.usefixtures("nothing_is_stored")


ODD_IDS = (
    "x", "x" * 36, "x" * 64, "x" * 65, "x" * 500, "%00", "a%00b", "%0a", "a%0d%0aX-Y:%20z", "%7f",
    "..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "%2e", "%20", "%25", "*", "'%20OR%20'1'='1", "%C3%BC",
    "%F0%9F%98%80", "%ff", "%ed%a0%80", "null", "None", "0", "-1", "[]", "{}", "%e2%80%ae",
    f"{{{NOTHING}}}", f"urn:uuid:{NOTHING}", NOTHING.replace("-", ""), NOTHING.upper(), "-" * 36,
    "%00" * 36,
)  # fmt: skip


def test_an_odd_id_in_the_address_names_nothing(person):
    for one in (f"/conversations/{odd}" for odd in ODD_IDS):
        answers = (
            person.get(one),
            person.patch(one, json={"title": "Hello"}),
            person.delete(one),
            person.delete(f"{one}?permanent=true"),
            person.get(f"{one}/messages"),
            person.post(f"{one}/messages", json={"messages": [SAID]}),
        )
        assert [answer.status_code for answer in answers] == [404] * 6, one
        for answer in answers:
            assert_problem(answer, 404, "not_found")


LISTS = ("/conversations", ONE, MESSAGES)


def named_by(answer):
    """Which parts of a query an answer refuses."""
    return pointers(assert_problem(answer, 422, "invalid_fields"))


@pytest.mark.parametrize("path", LISTS)
def test_a_limit_out_of_bounds_is_refused(person, path):
    address = path.replace("{conversation_id}", person.home)
    for value in (
        "0", "101", "-1", "abc", "", "%20", "1.5", "1e1", "0x10", "%00", "9" * 5000, "nan",
    ):  # fmt: skip
        assert named_by(person.get(f"{address}?limit={value}")) == {"/limit"}, value


def test_a_wrong_query_is_refused_and_its_field_named(person):
    for method, path, named in (
        ("GET", "/conversations?unknown=1", {"/unknown"}),
        ("GET", "/conversations?offset=1&limit=0", {"/offset", "/limit"}),
        ("GET", "/conversations?pinned=perhaps&mode=x", {"/pinned", "/mode"}),
        ("GET", "/conversations?from=x&to=2026-02-30&tag=%00", {"/from", "/to", "/tag"}),
        ("GET", "/conversations?trashed=true&pinned_first=true", {"/pinned_first"}),
        ("GET", f"{ONE}?unknown=1", {"/unknown"}),
        ("GET", f"{MESSAGES}?unknown=1", {"/unknown"}),
        ("DELETE", f"{ONE}?unknown=1", {"/unknown"}),
        ("DELETE", f"{ONE}?permanent=maybe", {"/permanent"}),
        ("DELETE", f"{ONE}?permanent=", {"/permanent"}),
        ("DELETE", f"{ONE}?permanent=%00", {"/permanent"}),
        ("GET", f"{MESSAGES}?before=x", {"/before"}),
        ("GET", f"{MESSAGES}?after=", {"/after"}),
        ("GET", f"{MESSAGES}?before=%00", {"/before"}),
        ("GET", f"{MESSAGES}?before={NOTHING}&after={NOTHING}", {"/after"}),
        ("POST", "/chat?wire=xyz", {"/wire"}),
        ("POST", "/chat?wire=", {"/wire"}),
        ("POST", "/chat?unknown=1", {"/unknown"}),
    ):
        address = path.replace("{conversation_id}", person.home)
        body = {"json": {"message": "Hello"}} if method == "POST" else {}
        assert named_by(person.open(address, method=method, **body)) == named, path


def encoded(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def cursor_of(moment, conversation_id=None):
    return encoded(json.dumps(["newest", moment, conversation_id or NOTHING]))


FOUL_CURSORS = (
    "", "x", "é", "%00", "!!!!", "=", "a" * 200, "a" * 201, "a" * 100_000, NOTHING,
    *map(encoded, ("", "[]", "{}", "1", "null", "true", '"x"', "[1,2]", "[null,null]", "[[],[]]",
                   '["x","y","z"]', '[[],"y","z"]', '["x"]', '{"a":1,"b":2}', "[1,2,3]",
                   "[" * 70 + "]" * 70)),
    cursor_of(1), cursor_of(None), cursor_of([]), cursor_of({}), cursor_of(True), cursor_of(""),
    cursor_of("yesterday"), cursor_of("2026-13-01T00:00:00Z"), cursor_of("infinity"),
    cursor_of("2026-01-01T00:00:00Z", 1), cursor_of("2026-01-01T00:00:00Z", [1]),
    cursor_of("2026-01-01T00:00:00Z", "x"),
)  # fmt: skip


def test_a_foul_cursor_is_refused(person):
    for cursor in FOUL_CURSORS:
        answer = person.get(f"/conversations?cursor={cursor}")
        assert named_by(answer) == {"/cursor"}, cursor[:80]


def test_a_cursor_is_refused_when_it_is_cut_or_another_lists(person):
    whole = cursor_of("2026-01-01T00:00:00.000Z")
    assert person.get(f"/conversations?cursor={whole}").json["conversations"] == []
    for cut in (whole[:-1], whole[:-5], whole[1:], whole[: len(whole) // 2]):
        assert_problem(person.get(f"/conversations?cursor={cut}"), 422, "invalid_fields")
    answer = person.get(f"/conversations/{person.home}/messages?before={whole}")
    assert pointers(assert_problem(answer, 422)) == {"/before"}


def test_a_moment_that_we_never_wrote_makes_a_foul_cursor(person):
    for moment in (
        "2026-01-01", "2026-01-01T00:00", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
        "2026-01-01T00:00:00+00:00:00.000001", "2026-01-01T00:00:00+23:59:59", "2026-W01-1",
        "20260101", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000+00:00",
    ):  # fmt: skip
        answer = person.get(f"/conversations?cursor={quote(cursor_of(moment))}")
        assert named_by(answer) == {"/cursor"}, moment


def test_another_method_is_refused_and_the_right_ones_are_named(person):
    for path, named in (
        ("/conversations", "GET, POST"),
        (ONE, "DELETE, GET, PATCH"),
        (MESSAGES, "GET, POST"),
        ("/chat", "POST"),
        ("/livez", "GET"),
        ("/openapi.json", "GET"),
    ):
        allowed = set(named.split(", "))
        for method in METHODS - allowed:
            answer = person.open(path.replace("{conversation_id}", person.home), method=method)
            assert_problem(answer, 405, "method_not_allowed")
            assert set(answer.headers["Allow"].split(", ")) - {"HEAD", "OPTIONS"} == allowed, path


def test_a_method_that_nobody_knows_is_refused(person):
    for method in ("TRACE", "PROPFIND", "BREW", "X" * 50):
        for address in ("/conversations", f"/conversations/{person.home}", "/chat", "/livez"):
            answer = person.open(address, method=method)
            assert_problem(answer, 405, "method_not_allowed")
            assert answer.headers["Allow"]
        assert_problem(person.open("/nothing", method=method), 404, "not_found")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_there_is_nothing_elsewhere(person, method):
    for address in (
        "/", "/nothing", "/conversations/", f"/conversations/{NOTHING}/nothing", "/chat/", "/Chat",
        "/conversations/a/messages/", "/.env", "/..", "/%00", "/docs/..%2fapp.py", "/docs/nothing",
    ):  # fmt: skip
        answer = person.open(address, method=method, json={})
        if answer.status_code == 405:  # what is not there for GET may be a pattern's for others
            assert method != "GET", address
        else:
            assert_problem(answer, 404, "not_found")


def test_head_and_options_answer_without_a_body(person):
    for address in ("/conversations", f"/conversations/{person.home}", "/livez"):
        head, get = person.head(address), person.get(address)
        assert (head.status_code, head.data) == (200, b"")
        assert head.content_type == get.content_type
        options = person.options(address)
        assert (options.status_code, options.data) == (204, b"")
        assert {"GET", "HEAD", "OPTIONS"} <= set(options.headers["Allow"].split(", "))
    assert person.head(f"/conversations/{NOTHING}").status_code == 404


def test_a_body_where_none_is_expected_is_ignored(person):
    for body in (b"{", b"\xff", b'{"limit": 0}', b"x" * 100_000):
        answer = person.get("/conversations", data=body, content_type="application/json")
        assert answer.status_code == 200


def test_a_foul_request_id_is_replaced_by_one_of_ours(person):
    for foul in ("", "a b", "x" * 65, "<script>", "é", '"'):
        answer = person.get("/nothing", headers={"X-Request-Id": foul})
        assert assert_problem(answer, 404)["request_id"] != foul
    plain = person.get("/nothing", headers={"X-Request-Id": "abc-1.2_3"})
    assert assert_problem(plain, 404)["request_id"] == plain.headers["X-Request-Id"] == "abc-1.2_3"
