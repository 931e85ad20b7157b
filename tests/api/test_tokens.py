"""Who may come in: bearer tokens at the door, and tokens from the command line."""

from uuid import UUID

import jwt
import pytest

from app.addresses import visitor_owner
from tests.client import Client
from tests.evidence import refused
from tests.jwks import connections
from tests.signing import VISITOR, claims, signed
from tests.tokens import HOSTILE
from tests.unit.test_addresses import ACCEPTED

DOOR = "/conversations"
REFUSAL = "A valid bearer token is required."


@pytest.fixture(scope="module")
def knock(app):
    """Asks for the list with an Authorization header, or without one."""

    def call(authorization=None):
        headers = {} if authorization is None else {"Authorization": authorization}
        return app.test_client().get(DOOR, headers=headers)

    return call


def test_no_hostile_token_opens_anything_and_all_get_one_answer(knock):
    """In one test: there are hundreds, and each takes less time than a test of its own."""
    with connections() as called:
        answers = {name: refused(knock(f"Bearer {token()}")) for name, token in HOSTILE.items()}
    different = {name: answer for name, answer in answers.items() if answer != REFUSAL}
    assert (different, called) == ({}, [])


def test_every_address_that_is_an_owner_fits_the_tables_rule_and_no_other_does(rows):
    """The canonicaliser and the CHECK behind it, asked about the same spellings."""
    [(rule,)] = rows.run(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = :n", n="ck_users_email"
    )
    owners = [*ACCEPTED.values(), visitor_owner(UUID(VISITOR))]
    fits = (
        "SELECT email FROM unnest(CAST(:emails AS text[])) AS email WHERE " + rule[len("CHECK ") :]
    )
    assert [email for (email,) in rows.run(fits, emails=owners)] == owners
    foul = ["A@b.cc", "a@b@c.cc", "a b@c.cc", "a@b.cc\n", "\x7f@b.cc", "@", "a", "x@" + "y" * 253]
    assert rows.run(fits, emails=foul) == []


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer  ",
        "Bearer\t",
        "Basic {token}",
        "Basic c29tZWJvZHk6c2VjcmV0",
        "Token {token}",
        "{token}",
        "Bearer{token}",
        "Bearer: {token}",
        "Bearer token={token}",
        'Bearer "{token}"',
        "Bearer {token} {token}",
        "Bearer {token},{token}",
        "Bearer {token}, Bearer {token}",
        "Bearer Bearer {token}",
        "bearer\u00a0{token}",
        "Bearer null",
        "Bearer undefined",
    ],
)
def test_a_header_that_is_not_a_bearer_token_opens_nothing(knock, header):
    given = None if header is None else header.replace("{token}", signed())
    refused(knock(given))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER ", "Bearer   "])
def test_a_good_token_opens_whatever_the_spelling_of_the_scheme(knock, scheme):
    assert knock(scheme + signed()).status_code == 200


def test_a_token_anywhere_else_opens_nothing(app):
    token = signed()
    http = app.test_client()
    http.set_cookie("Authorization", f"Bearer {token}")
    refused(http.get(DOOR))
    for query in (f"access_token={token}", f"token={token}"):
        refused(http.get(f"{DOOR}?{query}"))
    refused(http.get(DOOR, headers={"X-Authorization": f"Bearer {token}"}))
    refused(http.post("/chat", data={"access_token": token}))


def test_a_token_is_checked_before_anything_else(app):
    http = app.test_client()
    for call in (
        http.post("/chat", data=b"{", content_type="text/plain"),
        http.post("/conversations", json={"unknown": 1}),
        http.get("/conversations?limit=0"),
        http.get("/conversations/%00"),
        http.patch("/conversations/x", data=b"\xff"),
    ):
        refused(call)


def test_all_spellings_of_an_address_are_one_user(app, email):
    made = Client(app, email).create("Hello")
    shouted = signed(claims(email=email.upper()))
    answer = app.test_client().get(
        f"/conversations/{made['id']}", headers={"Authorization": f"Bearer {shouted}"}
    )
    assert answer.json["id"] == made["id"]


def test_the_command_line_prints_a_token_that_works_and_nothing_else(app, knock, email):
    printed = app.test_cli_runner().invoke(
        args=["tokens", "issue", "--email", email.upper(), "--hours", "2", "--dept", "Sales"]
    )
    assert (printed.exit_code, printed.stderr) == (0, "")
    token = printed.stdout.removesuffix("\n")
    assert knock(f"Bearer {token}").status_code == 200
    proved = jwt.decode(token, options={"verify_signature": False})
    assert proved["exp"] - proved["iat"] == 7200
    assert (proved["email"], proved["dept"]) == (email, "Sales")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--email", "somebody"],
        ["--email", ""],
        ["--email", "a@example.com, b@example.com"],
        ["--email", "a@example.com", "--hours", "25"],
        ["--email", "a@example.com", "--hours", "0"],
        ["--email", "a@example.com", "--sid", "x"],
    ],
)
def test_the_command_line_issues_no_token_for_what_it_can_not_take(app, arguments):
    printed = app.test_cli_runner().invoke(args=["tokens", "issue", *arguments])
    assert printed.exit_code == 2
    assert printed.stdout == ""
    assert "Error" in printed.stderr
    assert "Traceback" not in printed.stderr
