"""Every invariant of stored conversations is looked at, and mended where the rest says how."""

import dataclasses
import json
from contextlib import closing
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import flask_migrate
import psycopg2
import pytest
from psycopg2 import sql

from app import create_app
from app.cli.conversations import conversations
from app.database import Database
from app.embedded import create_database
from app.repositories.verification import _CHECKS
from app.services.verification import VerificationService
from tests.client import Client
from tests.evidence import Rows

WORDED = {"preview", "title_words", "search_words"}
UNLEASH = """
DO $$ DECLARE it record; BEGIN
    FOR it IN SELECT conname, conrelid::regclass AS at FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'c', 'u')
        ORDER BY contype DESC, contype = 'u'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', it.at, it.conname);
    END LOOP;
    FOR it IN SELECT indexrelid::regclass AS name
        FROM pg_index JOIN pg_class c ON c.oid = indexrelid
        WHERE indisunique AND NOT indisprimary AND relnamespace = 'public'::regnamespace
    LOOP EXECUTE format('DROP INDEX %s', it.name); END LOOP;
END $$
"""
DEEP = "'" + "[" * 66 + "]" * 66 + "'::jsonb"
SET = "UPDATE conversations SET {} WHERE id = :c"
SAID = "UPDATE messages SET {} WHERE conversation_id = :c AND {}"
RUN = "UPDATE runs SET {} WHERE conversation_id = :c"
LEAF = "(SELECT id FROM messages WHERE conversation_id = :c AND seq = {})"
NEW_RUN = """
INSERT INTO runs (id, conversation_id, message_id, user_email, lease_until)
SELECT gen_random_uuid(), :c, id, user_email, now() FROM messages
WHERE conversation_id = :c AND {}"""
CHUNK = """
INSERT INTO run_chunks (run_id, n, user_email, text)
SELECT id, 0, {}, 'kept of it' FROM runs WHERE conversation_id = :c"""
WRITING = SAID.format("status = 'streaming'", "seq = 7") + ";" + RUN.format("status = 'running'")
NOBODYS = ";".join(
    f"UPDATE {table} SET user_email = 'nobody@example.com' WHERE {column} = :c"
    for table, column in {
        "conversations": "id",
        "messages": "conversation_id",
        "runs": "conversation_id",
        "query_logs": "conversation_id",
    }.items()
)

# What is broken by which statement, and what of it can't be mended.
BREAKS = {
    "a count": (SET.format("message_count = 70"), {"message_count"}, set()),
    "a sum": (SET.format("total_tokens = total_tokens + 1"), {"total_tokens"}, set()),
    "the next seq": (SET.format("next_seq = 3"), {"next_seq"}, set()),
    "no revision": (SET.format("revision = -5"), {"revision"}, set()),
    "no preview": (SET.format("preview = NULL"), {"preview"}, set()),
    "another preview": (SET.format("preview = 'x'"), {"preview"}, set()),
    "words of a title": (SET.format("title_words = '''x'''"), {"title_words"}, set()),
    "words of a text": (
        SAID.format("search_words = '''x'''", "seq = 2"), {"search_words"}, set(),
    ),
    "whose title": (
        SET.format("title = NULL, title_words = '', title_source = 'user'"), {"title_source"}, set()
    ),
    "a leaf elsewhere": (
        SET.format("active_leaf_id = gen_random_uuid()"),
        {"active_leaf", "active_path", "preview"}, set(),
    ),
    "no leaf": (
        SET.format("active_leaf_id = NULL"), {"active_leaf", "active_path", "preview"}, set()
    ),
    "a leaf with an active child": (
        SET.format(f"active_leaf_id = {LEAF.format(2)}"), {"active_path", "preview"}, set()
    ),
    "a leaf on another branch": (
        SET.format(f"active_leaf_id = {LEAF.format(4)}"), {"active_path", "preview"}, set()
    ),
    "a second branch is shown": (
        SAID.format("is_active = true", "seq IN (3, 4)"), {"active_path"}, set()
    ),
    "a gap in the path": (SAID.format("is_active = false", "seq = 5"), {"active_path"}, set()),
    "a path without root": (SAID.format("is_active = false", "seq = 1"), {"active_path"}, set()),
    "nothing is shown": (SAID.format("is_active = false", "true"), {"active_path"}, set()),
    "nothing was said": (
        "DELETE FROM messages WHERE conversation_id = :c; DELETE FROM runs "
        "WHERE conversation_id = :c",
        {"active_leaf", "message_count", "preview", "total_tokens"}, set(),
    ),
    "a run that never ended": (
        RUN.format("status = 'running', ended_at = NULL"), {"run_without_answer"}, set()
    ),
    "chunks of an ended run": (CHUNK.format("user_email"), {"chunks_of_ended_run"}, set()),
    "an answer that nobody writes": (
        SAID.format("status = 'streaming', content = '', search_words = ''", "seq = 7")
        + ";" + CHUNK.format("user_email"),
        {"answer_without_run", "chunks_of_ended_run", "preview"}, set(),
    ),
    "an answer without any run": (
        SAID.format("status = 'streaming', content = '', search_words = ''", "seq = 7")
        + "; DELETE FROM runs WHERE conversation_id = :c",
        {"answer_without_run", "preview"}, set(),
    ),
    "nobody's conversation": (NOBODYS, {"owner"}, {"owner"}),
    "somebody else's message": (
        SAID.format("user_email = :other", "seq = 4"),
        {"messages_of_others", "message_count"}, {"messages_of_others"},
    ),
    "somebody else's run": (
        RUN.format("user_email = :other"), {"runs_of_others"}, {"runs_of_others"}
    ),
    "somebody else's chunk": (
        WRITING + ";" + CHUNK.format(":other"), {"chunks_of_others"}, {"chunks_of_others"}
    ),
    "nobody's line in the ledger": (
        "UPDATE query_logs SET user_email = NULL WHERE conversation_id = :c",
        {"ledger_of_others"}, {"ledger_of_others"},
    ),
    "a seq twice": (SAID.format("seq = 5", "seq = 4"), {"seq"}, {"seq"}),
    "a seq below one": (SAID.format("seq = 0", "seq = 1"), {"seq"}, {"seq"}),
    "a parent elsewhere": (
        SAID.format("parent_id = gen_random_uuid()", "seq = 3"), {"parent"}, {"parent"}
    ),
    "a parent after its child": (
        SAID.format("seq = 7 - seq", "seq IN (3, 4)"), {"order"}, {"order"}
    ),
    "a circle": (SAID.format(f"parent_id = {LEAF.format(4)}", "seq = 3"), {"order"}, {"order"}),
    "a circle that is shown": (
        SAID.format(f"parent_id = {LEAF.format(7)}", "seq = 1"),
        {"order", "active_path"}, {"order", "active_path"},
    ),
    "two answers at a time": (
        SAID.format("status = 'streaming'", "seq IN (3, 5)") + ";"
        + NEW_RUN.format("seq IN (3, 5)"),
        {"live_answers"}, {"live_answers"},
    ),
    "two writers": (
        WRITING + ";" + NEW_RUN.format("seq = 7"), {"runs_of_answer"}, {"runs_of_answer"}
    ),
    "a client's id twice": (
        SAID.format("client_message_id = 'e-1', payload_sha256 = sha256('')", "seq = 1"),
        {"client_message_id"}, {"client_message_id"},
    ),
    "no fingerprint": (SAID.format("payload_sha256 = NULL", "seq = 5"), {"payload"}, {"payload"}),
    "deep parts": (
        SAID.format(f"parts = {DEEP}", "seq = 1"), {"depth_of_messages"}, {"depth_of_messages"}
    ),
    "deep metadata": (
        SAID.format(f"metadata = jsonb_build_object('a', {DEEP})", "seq = 1"),
        {"depth_of_messages"}, {"depth_of_messages"},
    ),
    "deep metadata of the whole": (
        SET.format(f"metadata = jsonb_build_object('a', {DEEP})"), {"depth"}, {"depth"}
    ),
}  # fmt: skip
# Where the rest says something else than what was there, or nothing exact.
CHANGED = {
    "whose title", "a leaf with an active child", "a leaf on another branch", "nothing was said",
    "an answer that nobody writes", "an answer without any run", "no revision",
    "a run that never ended",
}  # fmt: skip


@pytest.fixture(scope="module")
def unleashed(settings):
    """A database of its own in which nothing keeps rows from being wrong."""
    owner, app = settings.database_owner_url.replace("+psycopg2", ""), settings.database_url
    name = urlsplit(owner).path.strip("/") + "_unleashed"
    execute(owner, sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
    create_database(owner, name=name, app=urlsplit(app).username)
    changed = dataclasses.replace(
        settings,
        database_url=urlsplit(app)._replace(path=f"/{name}").geturl(),
        database_owner_url=urlsplit(owner)._replace(path=f"/{name}").geturl(),
    )
    made = create_app(changed)
    with made.app_context():
        flask_migrate.upgrade()
    rows = Rows(changed.database_owner_url)
    with closing(Database.of_owner(changed.database_owner_url, changed)) as database:
        yield SimpleNamespace(app=made, rows=rows, verification=VerificationService(database))
    made.extensions["parley"].close()
    execute(owner, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def execute(url, statement):
    connection = psycopg2.connect(url)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


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
