"""Statistics are exactly what the ledger's rows come to, for their owner and for operators."""

import itertools
import json
import math
import os
import random
import re
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from app.database import Database
from app.errors import SetupError
from app.services.stats import LedgerService, Period, StatsService
from tests.driver import cursors, rewriting, statements_of
from tests.plans import plans_of

HOUR = timedelta(hours=1)
YEARS = itertools.count(1900)
STATUSES = ("complete", "failed", "interrupted", "cancelled")
MODES = (None, "fast", "balanced", "quality", "adaptive")
MODELS = (None, "recall", "gpt-5", "größer 模型", "")
SECRET = "what nobody may see"
INSERT = f"""
INSERT INTO query_logs (id, user_email, conversation_id, message_id, query, mode, model,
    contexts_retrieved, tokens_used, response_time_ms, first_token_ms, status, created_at)
SELECT gen_random_uuid(), user_email, gen_random_uuid(), gen_random_uuid(), '{SECRET}', mode,
    model, 0, tokens_used, response_time_ms, first_token_ms, status, created_at
FROM jsonb_to_recordset(CAST(:lines AS jsonb)) AS line (user_email text, mode text, model text,
    tokens_used int, response_time_ms int, first_token_ms int, status text, created_at timestamptz)
"""
FILL = """
INSERT INTO users (id, email)
SELECT gen_random_uuid(), n || :domain FROM generate_series(1, 100) n;
INSERT INTO conversations (id, user_email, message_count)
SELECT gen_random_uuid(), email, 3
FROM users, generate_series(1, 100) WHERE email LIKE '%' || :domain;
INSERT INTO query_logs (id, user_email, conversation_id, message_id, contexts_retrieved, status,
    created_at)
SELECT gen_random_uuid(), email, gen_random_uuid(), gen_random_uuid(), 0, 'complete',
    now() - n * interval '1 day'
FROM users, generate_series(1, 300) n WHERE email LIKE '%' || :domain;
ANALYZE query_logs;
ANALYZE conversations
"""
EMPTY = """
DELETE FROM query_logs WHERE user_email LIKE '%' || :domain;
DELETE FROM users WHERE email LIKE '%' || :domain
"""


@pytest.fixture
def since():
    """When nobody else asked anything: each test has a year of its own."""
    return datetime(next(YEARS), 1, 1, 17, 30, tzinfo=UTC)


@pytest.fixture
def dice():
    """Replays with STATS_SEED."""
    seed = int(os.environ.get("STATS_SEED", random.randrange(2**32)))
    print("seed", seed)
    return random.Random(seed)


@pytest.fixture
def owners(rows):
    """Three who were never here before."""
    names = [f"{uuid4().hex}@example.com" for _ in range(3)]
    for name in names:
        rows.run("INSERT INTO users (id, email) VALUES (gen_random_uuid(), :name)", name=name)
    return names


@pytest.fixture
def of_owner(settings):
    """As operators' commands reach it, past row-level security."""
    with closing(Database.of_owner(settings.database_owner_url, settings)) as database:
        yield database


def lines(dice, owners, moments):
    """A line of the ledger for each moment, of anybody's, with anything in it."""
    return [
        {
            "user_email": dice.choice(owners),
            "mode": dice.choice(MODES),
            "model": dice.choice(MODELS),
            "tokens_used": dice.choice([None, 0, dice.randrange(10**6), 2**31 - 1]),
            "response_time_ms": dice.choice([None, dice.randrange(100), dice.randrange(9**6)]),
            "first_token_ms": dice.choice([None, dice.randrange(50)]),
            "status": dice.choice(STATUSES),
            "created_at": moment.isoformat(),
        }
        for moment in moments
    ]


def percentiles(found):
    """As PostgreSQL's percentile_disc defines them."""
    numbers = sorted(number for number in found if number is not None)
    return numbers and {
        f"p{share:.0f}": numbers[max(math.ceil(share / 100 * len(numbers)) - 1, 0)]
        for share in (50, 90, 95, 99)
    }


def summed(name, asked):
    counts = {status: sum(line["status"] == status for line in asked) for status in STATUSES}
    return counts | {
        "name": name,
        "questions": len(asked),
        "tokens": sum(line["tokens_used"] or 0 for line in asked),
        "first_token_ms": percentiles(line["first_token_ms"] for line in asked) or None,
        "response_time_ms": percentiles(line["response_time_ms"] for line in asked) or None,
    }


def day(line):
    return line["created_at"][:10]


def summed_by(key, asked):
    found = {}
    for line in asked:
        found.setdefault(key(line), []).append(line)
    return {name: summed(name, group) for name, group in found.items()}


def shown(groups):
    """Groups by their names; no two have the same one."""
    named = {group.name: asdict(group) for group in groups}
    assert len(named) == len(groups)
    return named


PARTS = {"day": day, "mode": lambda line: line["mode"], "model": lambda line: line["model"]}


@pytest.mark.parametrize("count", [0, 1, 700])
def test_numbers_are_exactly_those_of_the_rows(
    rows, database, of_owner, owners, since, dice, count
):
    until = since + timedelta(days=40)
    span = int((until - since) / timedelta(milliseconds=1))
    moments = [since + timedelta(milliseconds=dice.randrange(span)) for _ in range(count)]
    inside = lines(dice, owners, moments)
    outside = lines(dice, owners, [since - timedelta(milliseconds=1), until] * 3)
    rows.run(INSERT, lines=json.dumps(inside + outside))
    period = Period(since=since, until=until)
    for owner in owners:
        own = [line for line in inside if line["user_email"] == owner]
        stats = StatsService(database).report(owner, period).questions
        assert asdict(stats.total) == summed(None, own)
        assert {part: shown(groups) for part, groups in stats.by.items()} == {
            part: summed_by(key, own) for part, key in PARTS.items()
        }
        days = [group.name for group in stats.by["day"]]
        assert days == sorted(days)
        for part in ("mode", "model"):
            asked = [group.questions for group in stats.by[part]]
            assert asked == sorted(asked, reverse=True)
    for part, key in (PARTS | {"user": lambda line: line["user_email"]}).items():
        stats = LedgerService(of_owner).report(period, by=part).questions
        assert asdict(stats.total) == summed(None, inside)
        assert shown(stats.by[part]) == summed_by(key, inside)
        assert stats.by.keys() == {part}


def test_bounds_count_to_the_millisecond(rows, database, owners, since, dice):
    until = since + HOUR
    tick = timedelta(milliseconds=1)
    for moment, questions in ((since - tick, 0), (since, 1), (until - tick, 2), (until, 2)):
        rows.run(INSERT, lines=json.dumps(lines(dice, owners[:1], [moment])))
        stats = StatsService(database).report(owners[0], Period(since=since, until=until))
        assert stats.questions.total.questions == questions, moment


def test_each_wall_alone_keeps_others_numbers_out(rows, settings, of_owner, owners, since, dice):
    mine, other, _ = owners
    asked = lines(dice, [other], [since] * 5) + lines(dice, [mine], [since])
    rows.run(INSERT, lines=json.dumps(asked))
    insert = """INSERT INTO conversations (id, user_email, message_count)
        VALUES (gen_random_uuid(), :owner, :count)"""
    for owner, count in ((mine, 2), (other, 70)):
        rows.run(insert, owner=owner, count=count)
    dropped = []

    def without_filter(statement):
        dropped.append("user_email = %(owner)s" in statement)
        return statement.replace("user_email = %(owner)s", "true")

    with (
        closing(Database.from_settings(settings)) as filterless,
        cursors(filterless.engine, rewriting(without_filter)),
    ):
        for database in (of_owner, filterless):
            stats = StatsService(database).report(mine, Period(since=since, until=since + HOUR))
            assert stats.questions.total.questions == 1
            assert (stats.stored.conversations, stats.stored.messages) == (1, 2)
    assert dropped == [True, True]


@pytest.fixture
def filled(rows):
    """Somebody among a hundred users with 30,000 questions and 10,000 conversations."""
    domain = f"@{uuid4().hex}.example.com"
    for statement in FILL.split(";"):
        rows.run(statement, **({"domain": domain} if ":domain" in statement else {}))
    yield f"7{domain}"
    for statement in EMPTY.split(";"):
        rows.run(statement, domain=domain)


def test_one_users_numbers_are_found_by_index(database, filled):
    until = datetime.now(UTC)
    period = Period(since=until - timedelta(days=30), until=until)
    ledger, stored = plans_of(database, lambda: StatsService(database).report(filled, period))
    assert "ix_query_logs_day" in ledger
    assert "conversations_" in stored
    assert "Seq Scan" not in ledger + stored


def test_no_text_is_asked_of_the_ledger(database, of_owner, owners, since):
    """A column that is not read can't come out."""
    period = Period(since=since, until=since + HOUR)
    with statements_of(database) as by_user, statements_of(of_owner) as by_operator:
        StatsService(database).report(owners[0], period)
        LedgerService(of_owner).report(period, by="user")
    assert (len(by_user), len(by_operator)) == (2, 2)
    for statement in by_user + by_operator:
        assert not re.search(r"\bquery\b|query_logs\.\*", statement)


def test_only_the_tables_owner_sees_the_ledger_of_all(database, since):
    with pytest.raises(SetupError, match="DATABASE_OWNER_URL"):
        LedgerService(database).report(Period(since=since, until=since), by="day")


def test_a_period_is_thirty_days_that_end_with_today_unless_it_is_said():
    usual = Period.between()
    today = datetime.now(UTC).date()
    assert usual.until - usual.since == timedelta(days=30)
    assert timedelta() <= today - (usual.until - timedelta(days=1)).date() <= timedelta(days=1)
    assert (usual.until.hour, usual.until.minute, usual.until.microsecond) == (0, 0, 0)
    for first, last, since, until in (
        ("2026-02-01", "2026-02-28", (2026, 2, 1), (2026, 3, 1)),
        ("2026-02-28", "2026-02-28", (2026, 2, 28), (2026, 3, 1)),
        (None, "2026-01-30", (2026, 1, 1), (2026, 1, 31)),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00.000Z", (2026, 1, 1), (2026, 1, 1)),
        ("2026-01-01T02:30:00+02:30", "2025-12-31T23:00:00-02:00", (2026, 1, 1), (2026, 1, 1, 1)),
        ("2024-01-01", "2024-12-31", (2024, 1, 1), (2025, 1, 1)),
        ("1000-01-01", "1000-01-01", (1000, 1, 1), (1000, 1, 2)),
    ):
        period = Period.between(first, last)
        assert period.since == datetime(*since, tzinfo=UTC), first
        assert period.until == datetime(*until, tzinfo=UTC), last
