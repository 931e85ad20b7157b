"""How much a user may use: answers at once, questions and tokens a day; exact in a burst."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event

import pytest

from app.clock import parse
from app.responders.base import Finish, Usage
from tests.client import Client
from tests.evidence import assert_problem
from tests.streams import until

BURST = 32


@pytest.fixture
def connect(make_app, email):
    return lambda responder, **changes: Client(make_app(responder, **changes), email)


@pytest.fixture
def held():
    """A responder whose answers wait, until the test is over at the latest."""
    opened = Event()

    def responder(prompt):
        yield "before "
        opened.wait(20)
        yield "after"

    responder.open = opened.set
    yield responder
    opened.set()


def costly(prompt):
    yield "Here."
    yield Usage(40, 20)
    yield Finish("stop", model="costly-1")


def in_a_burst(client, questions, **fields):
    """Statuses of questions asked at the same instant; each may name a conversation."""
    barrier = Barrier(len(questions))

    def ask(question):
        one = Client(client.app, client.email)
        barrier.wait(20)
        return one.ask("Where?", wire="sse", **question, **fields).status_code

    with ThreadPoolExecutor(len(questions)) as pool:
        return list(pool.map(ask, questions))


def assert_used_up(answer):
    """Refused until the next midnight, UTC."""
    problem = assert_problem(answer, 429, "quota_used_up")
    reset_at = parse(problem["reset_at"])
    left = reset_at - datetime.now(UTC)
    assert timedelta() <= left <= timedelta(days=1)
    assert (reset_at.hour, reset_at.minute, reset_at.second, reset_at.microsecond) == (0, 0, 0, 0)
    assert abs(int(answer.headers["Retry-After"]) - left.total_seconds()) < 5


def alive(rows, email):
    (count,) = rows.run(
        "SELECT count(*) FROM runs WHERE user_email = :email AND status = 'running'", email=email
    )
    return count[0]


def in_several(client):
    places = [client.create("hello", "there")["id"] for _ in range(8)]
    return [{"conversation_id": places[number % 8]} for number in range(BURST)]


def in_new_ones(client):
    return [{}] * BURST


def in_both(client):
    return in_several(client)[: BURST // 2] + [{}] * (BURST // 2)


@pytest.mark.parametrize("place", [in_several, in_new_ones, in_both])
@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"max_runs_per_user": 4}, 4),
        ({"max_runs_per_user": 7, "daily_message_quota": 3}, 3),
    ],
)
def test_a_burst_of_questions_starts_exactly_as_many_answers_as_are_allowed(
    connect, rows, held, place, limits, most
):
    client = connect(held, **limits)
    questions = place(client)
    conversations = len(rows.of(client.email)["conversations"])
    statuses = in_a_burst(client, questions)
    assert (statuses.count(200), statuses.count(429)) == (most, BURST - most)
    assert alive(rows, client.email) == most
    made = len(rows.of(client.email)["conversations"]) - conversations
    assert made == sum(
        status == 200 and not question for status, question in zip(statuses, questions, strict=True)
    )
    held.open()
    until(lambda: alive(rows, client.email) == 0)


def test_a_quota_is_exact_while_answers_end(connect, rows):
    """From a run under way to a line in the ledger: a question counts once at every instant."""
    client = connect(costly, max_runs_per_user=100, daily_message_quota=9)
    statuses = in_a_burst(client, in_both(client))
    until(lambda: alive(rows, client.email) == 0)
    assert (statuses.count(200), statuses.count(429)) == (9, BURST - 9)
    assert len(rows.of(client.email)["query_logs"]) == 9


def test_todays_questions_are_counted_for_each_user(connect, make_app, stranger):
    client = connect(costly, daily_message_quota=2)
    assert [client.ask("Where?").status_code for _ in range(2)] == [200, 200]
    assert_used_up(client.ask("Where?"))
    assert_used_up(client.ask("Where?", conversation_id="chat-1"))
    assert client.get("/conversations/chat-1").status_code == 404
    assert client.create("Stored, not asked")["message_count"] == 1
    assert Client(client.app, stranger.email).ask("Where?").status_code == 200


@pytest.mark.parametrize(("own", "common"), [(3, 1), (0, None), (1, 3)])
def test_a_users_own_quota_goes_before_the_common_one(connect, rows, own, common):
    client = connect(costly, daily_message_quota=common)
    place = client.create("hello")["id"]
    change = "UPDATE users SET daily_quota = :own WHERE email = :email"
    rows.run(change, own=own, email=client.email)
    answers = [client.ask("Where?", conversation_id=place) for _ in range(own + 1)]
    assert [answer.status_code for answer in answers[:-1]] == [200] * own
    assert_used_up(answers[-1])


def test_the_answer_that_passes_the_quota_of_tokens_is_the_last(connect):
    client = connect(costly, daily_token_quota=100)
    assert [client.ask("Where?").status_code for _ in range(2)] == [200, 200]
    assert_used_up(client.ask("Where?"))


def test_what_was_asked_yesterday_counts_for_yesterday_whenever_its_answer_ends(
    connect, rows, held, email
):
    client = connect(held, daily_message_quota=1)
    response = client.ask("Before midnight?", wire="sse")
    next(iter(response.response))
    rows.run("UPDATE runs SET created_at = now() - interval '1 day' WHERE user_email = :email",
             email=email)  # fmt: skip
    held.open()
    until(lambda: alive(rows, email) == 0)
    assert client.ask("After midnight?").status_code == 200
    assert_used_up(client.ask("One more?"))


def test_a_question_sent_again_is_answered_when_nothing_is_left(connect):
    client = connect(costly, daily_message_quota=1, daily_token_quota=1)
    place = client.create("hello")["id"]
    sent = {"conversation_id": place, "client_message_id": "m-1"}
    first, again = client.ask("Where?", **sent), client.ask("Where?", **sent)
    assert (first.status_code, again.status_code) == (200, 200)
    assert again.json["message"] == first.json["message"]
    other = client.ask("Else?", **sent)
    assert (other.status_code, other.json["code"]) == (409, "payload_mismatch")
    assert_used_up(client.ask("Where?", conversation_id=place, client_message_id="m-2"))


def test_a_first_question_sent_again_is_answered_when_nothing_is_left(connect):
    client = connect(costly, daily_message_quota=1)
    answers = [client.ask("Where?", client_message_id="first") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json["message"] == answers[1].json["message"]


def test_a_foreign_conversation_is_absent_even_when_nothing_is_left(connect, stranger):
    client = connect(costly, daily_message_quota=0)
    theirs = stranger.create("secret")["id"]
    assert_problem(client.ask("Where?", conversation_id=theirs), 404, "not_found")


def test_a_run_whose_conversation_was_erased_counts_as_long_as_it_asks(connect, held):
    """Or somebody who erases at once could keep any number of models at work."""
    client = connect(held, max_runs_per_user=2)
    asked = []
    for _ in range(2):
        asked.append(client.ask("Where?", wire="sse"))
        place = asked[-1].headers["X-Conversation-Id"]
        assert client.delete(f"/conversations/{place}?permanent=true").status_code == 200
    assert_problem(client.ask("Where?", wire="sse"), 429, "too_many_requests")
    held.open()
    until(lambda: client.ask("Where?").status_code == 200)
