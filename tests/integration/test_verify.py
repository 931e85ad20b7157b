"""Every invariant of stored conversations is looked at, and mended where the rest says how."""

import json
from contextlib import closing
from types import SimpleNamespace
from uuid import uuid4

import pytest

from app import create_app
from app.cli.conversations import conversations
from app.database import Database
from app.repositories.verification import _CHECKS
from app.services.verification import VerificationService
from tests.apart import apart
from tests.client import Client
from tests.evidence import Rows

from .breaks import BREAKS, CHANGED, SAID, SET, UNLEASH

WORDED = {"preview", "title_words", "search_words"}


@pytest.fixture(scope="module")
def unleashed(settings):
    """A database of its own in which nothing keeps rows from being wrong."""
    with apart(settings, "unleashed") as changed:
        made, rows = create_app(changed), Rows(changed.database_owner_url)
        with closing(Database.of_owner(changed.database_owner_url, changed)) as database:
            yield SimpleNamespace(app=made, rows=rows, verification=VerificationService(database))
        made.extensions["parley"].close()


@pytest.fixture
def told(app):
    """What the command prints for arguments: its exit code and its output."""

    def run(*arguments, of=app):
        ended = of.test_cli_runner().invoke(args=["conversations", "verify", *arguments])
        return ended.exit_code, ended.output

    return run


def branched(client):
    """A conversation with two branches and an answer; seven messages, 3 and 4 not shown."""
    made = client.create("Where is Huế?", "In Vietnam.", "And Đà Nẵng?", "South of it.")
    path = f"/conversations/{made['id']}"
    edit = {"content": "And Hội An?", "client_message_id": "e-1"}
    third = client.messages(made["id"])[2]["id"]
    assert client.patch(f"{path}/messages/{third}", json=edit).status_code == 201
    assert client.ask("Which river?", conversation_id=made["id"]).status_code == 200
    return made["id"]


def stored(rows):
    """All rows by conversation and table, and revisions by conversation."""
    tables = {
        "conversations": "id",
        "messages": "conversation_id",
        "runs": "conversation_id",
        "query_logs": "conversation_id",
        "run_chunks": "(SELECT conversation_id FROM runs WHERE id = run_id)",
    }
    found, revisions = {}, {}
    for table, column in tables.items():
        for place, row in rows.run(f"SELECT {column}, to_jsonb(t) FROM {table} t ORDER BY 1, 2"):
            if table == "conversations":
                revisions[str(place)] = row.pop("revision"), row.pop("rev")
            found.setdefault(str(place), {}).setdefault(table, []).append(row)
    return found, revisions


def verified(verification, **options):
    """Checks that conversations fail: those mended, and those not."""
    findings = [it for part in verification.verify(is_deep=True, **options) for it in part.findings]
    return [
        {
            str(of): {it.check for it in findings if it.conversation_id == of}
            for of in {it.conversation_id for it in findings}
        }
        for findings in (
            [it for it in findings if it.is_mended],
            [it for it in findings if not it.is_mended],
        )
    ]


def test_each_break_is_found_and_mended_if_the_rest_says_how(unleashed):
    rows, verification = unleashed.rows, unleashed.verification
    other = Client(unleashed.app, f"{uuid4().hex}@example.com")
    victims = {
        name: branched(Client(unleashed.app, f"{uuid4().hex}@example.com")) for name in BREAKS
    }
    bystander = branched(other)
    assert verified(verification) == [{}, {}]
    whole, _ = stored(rows)
    rows.run(UNLEASH)
    for name, (statement, _, _) in BREAKS.items():
        values = {"c": victims[name], "other": other.email}
        rows.run(statement, **{key: it for key, it in values.items() if f":{key}" in statement})
    broken, before = stored(rows)
    expected = {victims[name]: checks for name, (_, checks, _) in BREAKS.items()}
    assert verified(verification) == [{}, expected]
    assert stored(rows) == (broken, before)

    left = {victims[name]: checks for name, (_, _, checks) in BREAKS.items() if checks}
    mended = {of: checks - left.get(of, set()) for of, checks in expected.items()}
    mended = {of: checks for of, checks in mended.items() if checks}
    assert verified(verification, repairs=True) == [mended, left]
    assert verified(verification, repairs=True) == [{}, left]
    now, after = stored(rows)
    assert now[bystander] == whole[bystander]
    for name, victim in victims.items():
        if victim in mended:
            assert after[victim][0] == max(before[victim][0], 0) + 1, name
            assert after[victim][1] != before[victim][1], name
        else:
            assert (now[victim], after[victim]) == (broken[victim], before[victim]), name
        if victim not in left and name not in CHANGED:
            assert now[victim] == whole[victim], name
    answer = now[victims["an answer that nobody writes"]]["messages"][-1]
    assert (answer["status"], answer["content"]) == ("interrupted", "kept of it")


def test_every_check_has_a_break():
    assert set().union(*(checks for _, checks, _ in BREAKS.values())) == {*_CHECKS, *WORDED}


def test_the_command_tells_and_mends_without_a_word_of_what_was_said(told, client, rows):
    secret = "pelicans"
    made = client.create(secret, f"The {secret} are here", title=f"On {secret}")["id"]
    asked = ("--owner", client.email, "--deep")
    code, output = told(*asked)
    assert (code, output) == (0, "conversations: 1, mended: 0, left: 0\n")
    rows.run(SET.format("message_count = 7, preview = 'x', title_words = ''"), c=made)
    rows.run(SAID.format("search_words = ''", "true"), c=made)
    code, table = told(*asked)
    assert code == 1
    for check in ("message_count", "preview", "title_words", "search_words"):
        assert f"{check:<20}  {made}  left " in table
    code, printed = told(*asked, "--json")
    told_json = json.loads(printed)
    assert (code, told_json["conversations"], told_json["left"]) == (1, 1, 4)
    assert [it for it in told_json["findings"] if it["check"] == "message_count"] == [
        {"check": "message_count", "conversation_id": made, "found": "7", "expected": "2",
         "is_mended": False}
    ]  # fmt: skip
    code, mended = told(*asked, "--repair")
    assert code == 0
    assert "mended: 4, left: 0" in mended
    assert told(*asked) == (0, output)
    assert secret not in table + printed + mended


def test_only_the_named_users_conversations_are_looked_at(told, client, stranger, rows):
    made = client.create("Hello")["id"]
    stranger.create("Hello")
    rows.run(SET.format("total_tokens = 9"), c=made)
    assert told("--owner", stranger.email)[0] == 0
    assert told("--owner", client.email, "--repair")[0] == 0


def test_what_can_not_be_checked_is_no_clean_bill(told, make_app, settings):
    for nobody in (f"{uuid4().hex}@example.com", "no address", f"anon:{uuid4()}"):
        assert told("--owner", nobody)[0] == 2
    for url in (settings.database_url, None, "postgresql://nobody@127.0.0.1:1/none"):
        of = make_app(database_owner_url=url)
        of.cli.add_command(conversations)
        code, output = told(of=of)
        assert (code, "Error" in output) == (2, True), url
