"""A user's own numbers, and those of all users that operators get at the command line."""

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import quote
from uuid import uuid4

import pytest

from app.cli.stats import stats
from app.clock import parse
from app.responders.base import Finish, Usage
from tests.client import Client
from tests.evidence import assert_problem, pointers

NOTHING = {
    "questions": 0,
    "complete": 0,
    "failed": 0,
    "interrupted": 0,
    "cancelled": 0,
    "tokens": 0,
    "first_token_ms": None,
    "response_time_ms": None,
}
COUNTS = ("questions", "complete", "failed", "tokens")
PERIOD = ("--from", "1999-12-01", "--to", "1999-12-31")


def answer(prompt):
    yield Usage(40, 20)
    if prompt.question == "fail":
        raise RuntimeError
    yield "Here."
    yield Finish("stop", model="costly-1")


def counts(group):
    return tuple(group[name] for name in COUNTS)


@pytest.fixture
def asker(make_app, email):
    """Somebody whose every answer takes 60 tokens, and fails if the question is `fail`."""
    return Client(make_app(answer), email)


@pytest.fixture
def of_1999(asker, rows):
    """Two questions in December 1999, and no other's; the second failed."""
    asker.ask(f"canary{uuid4().hex}", mode="fast")
    asker.ask("fail")
    rows.run("DELETE FROM query_logs WHERE created_at < '2000-01-01'")
    rows.run(
        """UPDATE query_logs SET created_at = '1999-12-24T23:59:59.999Z', first_token_ms = 12,
        response_time_ms = 34 WHERE user_email = :email""",
        email=asker.email,
    )
    yield asker
    rows.run("DELETE FROM query_logs WHERE created_at < '2000-01-01'")


def test_who_never_asked_has_zeros(client):
    told = client.get("/stats").json
    assert told["total"] == NOTHING
    assert [told[f"by_{part}"] for part in ("day", "mode", "model")] == [[], [], []]
    assert set(told["stored"].values()) == {0}
    start, end = parse(told["from"]), parse(told["to"])
    assert end - start == timedelta(days=30)
    assert start <= datetime.now(UTC) - timedelta(days=29)
    assert end > datetime.now(UTC)


def test_questions_are_counted_by_day_mode_and_model(asker):
    asker.ask("Where is Huế?", mode="fast")
    asker.ask("And Hội An?", mode="fast")
    asker.ask("fail")
    told = asker.get("/stats").json
    assert counts(told["total"]) == (3, 2, 1, 180)
    assert sum(counts(day)[0] for day in told["by_day"]) == 3
    assert {day["day"] for day in told["by_day"]} <= _days_around_now()
    assert [(each["mode"], *counts(each)) for each in told["by_mode"]] == [
        ("fast", 2, 2, 0, 120),
        (None, 1, 0, 1, 60),
    ]
    assert ("costly-1", 2, 2, 0, 120) in [
        (each["model"], *counts(each)) for each in told["by_model"]
    ]
    times = told["total"]["response_time_ms"]
    assert times["p50"] <= times["p90"] <= times["p95"] <= times["p99"]


def _days_around_now():
    now = datetime.now(UTC)
    return {str((now - timedelta(minutes=minutes)).date()) for minutes in (0, 5)}


def test_numbers_are_ones_own_and_stay_when_a_conversation_goes(asker, stranger):
    asked = asker.ask("Where is Huế?").json
    before = asker.get("/stats").json
    assert asker.delete(f"/conversations/{asked['conversation_id']}?permanent=true").json["success"]
    after = asker.get("/stats").json
    assert after["stored"] == dict.fromkeys(after["stored"], 0)
    assert after | {"stored": before["stored"]} == before
    assert counts(after["total"]) == (1, 1, 0, 60)
    assert stranger.get("/stats").json["total"] == NOTHING


def test_what_is_stored_is_counted_with_the_trash(client, rows):
    ids = [client.create("Hello", "Good morning")["id"] for _ in range(4)]
    archive = "UPDATE conversations SET is_archived = true WHERE id IN (:one, :other)"
    rows.run(archive, one=ids[0], other=ids[1])
    assert client.delete(f"/conversations/{ids[1]}").status_code == 200
    stored = {"conversations": 4, "archived": 1, "trashed": 1, "messages": 8}
    assert client.get("/stats").json["stored"] == stored
    rows.run("UPDATE conversations SET is_published = false WHERE id = :one", one=ids[3])
    assert client.get("/stats").json["stored"] == stored | {"conversations": 3, "messages": 6}


def test_a_period_is_dates_with_the_last_one_or_moments(of_1999):
    for asked, start, end, questions in (
        ("from=1999-12-24&to=1999-12-24", "1999-12-24", "1999-12-25", 2),
        ("to=1999-12-31", "1999-12-02", "2000-01-01", 2),
        ("from=1999-12-25&to=1999-12-25", "1999-12-25", "1999-12-26", 0),
        ("from=1999-12-20&to=1999-12-24T00:00:00Z", "1999-12-20", "1999-12-24", 0),
        ("from=1999-12-25T01:00:00%2B02:00&to=1999-12-24T23:59:59.999Z", None, None, 0),
        ("from=1999-12-24&to=1999-12-25T02:00:00%2B02:00", "1999-12-24", "1999-12-25", 2),
    ):
        told = of_1999.get(f"/stats?{asked}").json
        assert told["total"]["questions"] == questions, asked
        if start:
            assert told["from"] == f"{start}T00:00:00.000Z", asked
            assert told["to"] == f"{end}T00:00:00.000Z", asked
    assert told["by_day"][0]["first_token_ms"] == dict.fromkeys(("p50", "p90", "p95", "p99"), 12)
    assert told["by_day"][0]["day"] == "1999-12-24"
    again = f"/stats?from={quote(told['from'])}&to={quote(told['to'])}"
    assert of_1999.get(again).json == told


def test_a_period_that_can_not_be_is_refused_and_named(client):
    fouls = (
        "", "x", "%00", "%20", "2026", "2026-11", "2026-13-01", "2026-02-30", "20261121",
        "2026-W47-6", "2026-11-21T10:00", "2026-11-21T10:00:00", "2026-11-21T24:00:00Z",
        "2026-11-21T10:00:00+02:00", "2026-11-21 10:00:00Z", "2026-11-21T10:00:00.1234567Z",
        "0001-01-01", "9999-12-31", "-2026-11-21", "infinity", "now", "1763719200", "2026-11-21Z",
        "2026-11-21%0A", "2026-11-21T10:00:00%2B25:00", "9" * 5000,
    )  # fmt: skip
    for name in ("from", "to"):
        for foul in fouls:
            problem = assert_problem(client.get(f"/stats?{name}={foul}"), 422, "invalid_fields")
            assert pointers(problem) == {f"/{name}"}, foul
    for asked, named in (
        ("from=2026-01-02&to=2025-12-31", {"/from"}),
        ("from=2026-01-01T00:00:00.001Z&to=2026-01-01T00:00:00Z", {"/from"}),
        ("from=2999-01-01", {"/from"}),
        ("from=2024-01-01&to=2025-01-01", {"/from"}),
        ("from=2024-01-01T00:00:00Z&to=2025-01-01T00:00:00.001Z", {"/from"}),
        ("since=2026-01-01", {"/since"}),
    ):
        assert pointers(assert_problem(client.get(f"/stats?{asked}"), 422)) == named, asked
    assert client.get("/stats?from=2024-01-01&to=2024-12-31").status_code == 200


def run(app, *arguments):
    return app.test_cli_runner().invoke(args=["stats", *arguments])


def printed(app, *arguments):
    """What the command prints about December 1999."""
    ended = run(app, *PERIOD, *arguments)
    assert (ended.exit_code, ended.stderr) == (0, ""), ended.output
    return ended.stdout


def test_operators_get_all_users_numbers_as_json(app, of_1999):
    found = json.loads(printed(app, "--json"))
    assert (found["from"], found["to"]) == ("1999-12-01T00:00:00.000Z", "2000-01-01T00:00:00.000Z")
    assert counts(found["total"]) == (2, 1, 1, 120)
    times = dict.fromkeys(("p50", "p90", "p95", "p99"), 34)
    assert found["by_day"] == [{"day": "1999-12-24"} | found["total"]]
    assert found["total"]["response_time_ms"] == times
    assert found.keys() == {"from", "to", "total", "by_day"}


def test_operators_get_a_table(app, of_1999, rows):
    head, *groups, total = printed(app, "--by", "mode").splitlines()
    assert head.split()[:3] == ["mode", "questions", "complete"]
    assert {line.split()[0] for line in groups} == {"fast", "none"}
    assert total.split() == [
        "total", "2", "1", "1", "0", "0", "120", "12/12/12/12", "34/34/34/34",
    ]  # fmt: skip
    assert {len(line) for line in (head, *groups)} == {len(total)}
    rows.run("UPDATE query_logs SET model = E'\\x1b[2Jx\\n' WHERE model = 'costly-1'")
    assert "?[2Jx?" in printed(app, "--by", "model")


def test_no_address_is_printed_unless_users_are_asked_for_and_never_a_text(app, of_1999):
    for part in ("day", "mode", "model", "user"):
        for form in ((), ("--json",)):
            told = printed(app, "--by", part, *form)
            assert (of_1999.email in told) == (part == "user")
            assert "canary" not in told


def test_a_period_without_questions_is_a_table_of_zeros(app):
    ended = run(app, "--from", "1998-01-01", "--to", "1998-01-01")
    assert ended.stdout.splitlines()[1].split() == ["total", *"000000", "none", "none"]
    assert run(app).exit_code == 0


def test_the_command_says_in_one_sentence_what_it_can_not_do(app, make_app, settings):
    for arguments, named in (
        (("--from", "yesterday"), "--from"),
        (("--to", ""), "--to"),
        (("--from", "2026-02-01", "--to", "2026-01-01"), "--from"),
        (("--by", "query"), "--by"),
    ):
        ended = run(app, *arguments)
        assert (ended.exit_code, ended.stdout) == (2, ""), arguments
        assert named in ended.stderr.splitlines()[-1]
    away = "postgresql+psycopg2://parley_owner@127.0.0.1:1/parley"
    for url, message in (
        (None, "DATABASE_OWNER_URL is missing"),
        (settings.database_url, "DATABASE_OWNER_URL must name the tables' owner."),
        (away, "is not available"),
    ):
        ended = make_app(database_owner_url=url).test_cli_runner().invoke(stats, [])
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert ended.stderr.startswith("Error: ")
        assert message in ended.stderr
