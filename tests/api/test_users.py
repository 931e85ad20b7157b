"""What operators do to accounts at the command line, visitors, and tokens from there."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from sqlalchemy.exc import ProgrammingError

from app.auth_settings import AuthSettings, ProviderSettings
from app.cli.tokens import tokens
from app.cli.users import users
from tests.client import bearer
from tests.evidence import assert_problem
from tests.fixtures import SECRET

ROOT = Path(__file__).parents[2]
DOOR = "/conversations"
NOBODY = "nobody.was.ever.here@example.com"


@pytest.fixture(scope="module")
def run(app):
    """What a command prints that must succeed."""

    def run(*arguments):
        ended = app.test_cli_runner().invoke(args=["users", *arguments])
        assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
        return ended.stdout

    return run


@pytest.fixture
def is_in(make_app):
    """Whether a token is taken by a process that never saw anybody."""
    return lambda token: _knock(make_app(), token).status_code == 200


def _knock(app, token):
    return app.test_client().get(DOOR, headers={"Authorization": f"Bearer {token}"})


def _failure(app, command, *arguments):
    """The exit code and the message of a command that must fail in one sentence."""
    ended = app.test_cli_runner().invoke(command, arguments)
    assert ended.stdout == ""
    *usage, message = ended.stderr.splitlines()
    assert not usage or usage[0].startswith("Usage: ")
    assert message.startswith("Error: ")
    return ended.exit_code, message


def _shown(run, email):
    return json.loads(run("show", email, "--json"))


def test_show_prints_an_account_and_nothing_that_was_said(run, app, client):
    client.token = bearer(app, client.email, sub=f"subject {client.email}", name="Ada")
    secret = f"canary{uuid4().hex}"
    made = client.create(secret, "Good morning", title=secret)
    trashed = client.create("Hello")
    assert client.delete(f"/conversations/{trashed['id']}").status_code == 200
    asked = client.ask(secret, conversation_id=made["id"]).json["message"]
    fields = _shown(run, client.email.upper())
    assert fields.pop("created_at") <= fields.pop("last_seen_at")
    assert len(fields.pop("id")) == 36
    assert fields == {
        "email": client.email,
        "is_active": True,
        "is_anonymous": False,
        "role": "user",
        "issuer": "tests",
        "subject": f"subject {client.email}",
        "daily_quota": None,
        "conversations": 2,
        "messages": 5,
        "tokens_today": asked["tokens_used"],
    }
    printed = run("show", client.email)
    lines = dict(line.split(": ", 1) for line in printed.splitlines())
    assert (
        lines.items()
        >= {
            "email": client.email,
            "is_active": "true",
            "daily_quota": "none",
            "messages": "5",
            "subject": f"subject {client.email}",
        }.items()
    )
    assert lines.keys() == _shown(run, client.email).keys()
    assert secret not in printed


def test_tokens_of_yesterday_are_not_of_today(run, rows, client):
    made = client.create("Hello")
    client.ask("And now?", conversation_id=made["id"])
    old = """UPDATE query_logs SET tokens_used = 7,
        created_at = date_trunc('day', now(), 'UTC') + :after WHERE user_email = :email"""
    rows.run(old, email=client.email, after="0 s")
    assert _shown(run, client.email)["tokens_today"] == 7
    rows.run(old, email=client.email, after="-1 ms")
    assert _shown(run, client.email)["tokens_today"] == 0


def test_an_operator_shuts_a_user_out_and_lets_them_in_again(run, is_in, client, stranger, rows):
    client.create("Hello")
    stranger.create("Hello")
    others = rows.of(stranger.email)
    run("deactivate", client.email)
    assert not _shown(run, client.email)["is_active"]
    assert not is_in(client.token)
    assert is_in(stranger.token)
    run("activate", client.email)
    assert is_in(client.token)
    assert len(client.get(DOOR).json["conversations"]) == 1
    assert rows.of(stranger.email) == others


def test_a_released_address_belongs_to_the_next_subject(run, app, is_in, email):
    first, second = (bearer(app, email, sub=f"{name} {email}") for name in ("first", "second"))
    assert is_in(first)
    assert not is_in(second)
    run("release-subject", email)
    assert (_shown(run, email)["issuer"], _shown(run, email)["subject"]) == (None, None)
    assert is_in(second)
    assert not is_in(first)


def test_an_operator_sets_how_many_messages_a_user_may_send(run, client):
    client.create("Hello")
    for said, stored in (("12", 12), ("0", 0), ("none", None), (str(2**31 - 1), 2**31 - 1)):
        run("set-quota", client.email, said)
        assert _shown(run, client.email)["daily_quota"] == stored


@pytest.mark.parametrize("verb", ["show", "release-subject", "deactivate", "activate", "set-quota"])
def test_a_command_says_in_one_sentence_what_it_can_not_do(app, verb):
    rest = ["5"] if verb == "set-quota" else []
    visitor = f"anon:{uuid4()}"
    for address in ("", "somebody", "a b@example.com", "a@example.com,b@example.com", "%@x.com"):
        code, message = _failure(app, users, verb, address, *rest)
        assert (code, "not a usable e-mail address" in message) == (2, True), address
    for address in (visitor.upper(), f"{visitor} ", "anon:", "anon:a@example.com"):
        assert _failure(app, users, verb, address, *rest)[0] == 2, address
    for address in (NOBODY, visitor):
        code, message = _failure(app, users, verb, address, *rest)
        assert (code, message) == (1, "Error: Nobody with this address was ever here.")
    assert app.test_cli_runner().invoke(users, [verb, "--help"]).exit_code == 0


def test_a_quota_is_a_number_or_none(app, email):
    for quota in ("", "many", "-1", "1.5", "None", "nan", str(2**31)):
        assert _failure(app, users, "set-quota", email, quota)[0] == 2, quota


def test_without_the_owners_url_or_the_database_a_command_says_so(make_app):
    nameless = make_app(database_owner_url=None)
    code, message = _failure(nameless, users, "show", NOBODY)
    assert (code, "DATABASE_OWNER_URL is missing" in message) == (1, True)
    away = make_app(database_owner_url="postgresql+psycopg2://parley_owner@127.0.0.1:1/parley")
    code, message = _failure(away, users, "deactivate", NOBODY)
    assert (code, "is not available" in message) == (1, True)


def test_with_the_applications_own_role_a_change_says_whose_is_needed(make_app, settings, client):
    client.create("Hello")
    code, message = _failure(
        make_app(database_owner_url=settings.database_url), users, "deactivate", client.email
    )
    assert (code, message) == (1, "Error: DATABASE_OWNER_URL must name the tables' owner.")


def test_the_application_itself_may_not_change_what_operators_change(database, client):
    client.create("Hello")
    for change in (
        "is_active = true",
        "role = 'admin'",
        "daily_quota = 1",
        "email = 'somebody@example.com'",
        "is_anonymous = false",
    ):
        with (
            database.statement(client.email) as session,
            pytest.raises(ProgrammingError, match="permission denied"),
        ):
            session.run(f"UPDATE users SET {change}", {})


def test_commands_run_where_the_server_does(settings, client):
    client.create("Hello")
    environ = os.environ | {
        "DATABASE_URL": settings.database_url,
        "DATABASE_OWNER_URL": settings.database_owner_url,
        "SERVICE_AUTH_SECRET": SECRET,
        "SERVICE_AUTH_ISSUER": settings.auth.issuer,
        "SERVICE_AUTH_AUDIENCE": settings.auth.audience,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "flask", "--app", "wsgi", "users", "show", client.email],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stderr == ""
    assert ended.stdout.startswith(f"email: {client.email}\n")


def test_a_visitor_has_a_row_where_visitors_are_taken(run, make_app, settings, is_in, rows):
    auth = replace(settings.auth, allow_anonymous=True)
    visiting = make_app(auth=auth)
    printed = visiting.test_cli_runner().invoke(tokens, ["issue-visitor"])
    assert (printed.exit_code, printed.stderr) == (0, "")
    token = printed.stdout.removesuffix("\n")
    assert not is_in(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    owner = f"anon:{claims['visitor']}"
    assert rows.of(owner)["users"] == []
    assert _knock(visiting, token).status_code == 200
    shown = _shown(run, owner)
    assert (shown["email"], shown["is_anonymous"]) == (owner, True)
    assert (shown["issuer"], shown["subject"]) == (None, None)
    run("deactivate", owner)
    assert_problem(_knock(make_app(auth=auth), token), 401, "unauthorized")


def test_a_token_from_the_command_line_can_carry_a_subject(app, run, is_in, email):
    arguments = ["issue", "--email", email, "--subject", f"subject {email}"]
    assert is_in(app.test_cli_runner().invoke(tokens, arguments).stdout.strip())
    assert _shown(run, email)["subject"] == f"subject {email}"
    assert not is_in(bearer(app, email))


def test_no_token_is_issued_that_the_api_would_refuse(app, make_app, settings):
    issue = ("issue", "--email", NOBODY)
    for foul in (
        ("--hours", "nan"),
        ("--hours", "inf"),
        ("--subject", ""),
        ("--subject", "x" * 256),
        ("--subject", "two\nlines"),
        ("--name", "x" * 1025),
    ):
        assert _failure(app, tokens, *issue, *foul)[0] == 2, foul
    assert _failure(app, tokens, "issue-visitor")[0] == 2
    provider = ProviderSettings(issuer="i", audience="a", jwks_url="https://127.0.0.1:1/keys")
    auth = AuthSettings(issuer="i", audience="a", secrets={}, provider=provider)
    keyless = make_app(auth=auth)
    for command in (issue, ("issue-visitor",)):
        code, message = _failure(keyless, tokens, *command)
        assert (code, "SERVICE_AUTH_SECRET" in message) == (1, True)
