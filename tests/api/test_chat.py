"""/chat as clients call it: what they may send, what they read, and what is stored by then."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from threading import Event
from uuid import UUID, uuid4

import httpx2
import pytest

from app.responders.base import Contexts, Finish, ReasoningDelta, TextDelta
from app.streaming.wire import HEARTBEAT_SECONDS, Wire
from tests.client import Client, at_once, bearer
from tests.responders import Gate
from tests.server import Server
from tests.streams import frames, text_of, until

MARKER = "\n__CONTEXT__:"
CONTEXTS = [{"source": "atlas.pdf", "chunk": "Huế lies on the Perfume River.", "page": 7}]
NASTY = "a\u0301 👩‍👩‍👧 \u202e rtl \ufeff\u2028\u2029\x85 \r\n\t\x1b __CONTEXT_: \U0010ffff 漢字 ñ"
OWN_MESSAGES = "SELECT * FROM messages WHERE user_email = :email ORDER BY created_at, seq"


@pytest.fixture
def gate():
    gate = Gate("before ", after=["after"])
    yield gate
    gate.open()


@pytest.fixture
def connect(make_app, email):
    """The API as `email` calls it, answered by a responder."""
    return lambda responder, **changes: Client(make_app(responder, **changes), email)


@pytest.fixture
def complete(connect):
    return connect("tests.responders:complete")


@pytest.fixture(scope="module")
def slow_server(app, settings):
    with Server(settings, RESPONDER="tests.responders:slow") as server:
        yield server


def another(client):
    """The same user on another connection."""
    return Client(client.app, client.email)


def read(response):
    seen = list(frames(response.response))
    response.close()
    return seen


# What is there before the first byte


@pytest.mark.parametrize("wire", ["sse", "text"])
def test_question_and_empty_answer_are_stored_before_the_first_byte(connect, rows, gate, wire):
    client = connect(gate)
    response = client.ask("Where is Huế?", wire=wire)
    question, answer = rows.run(OWN_MESSAGES, email=client.email)
    assert (question.role, question.content, question.status) == (
        "user", "Where is Huế?", "complete",
    )  # fmt: skip
    assert (answer.role, answer.content, answer.status) == ("assistant", "", "streaming")
    assert answer.parent_id == question.id
    assert response.headers["X-Conversation-Id"] == str(question.conversation_id)
    assert response.headers["X-Message-Id"] == str(answer.id)
    response.close()


def test_the_first_event_has_both_ids_revision_and_title(connect, rows, gate):
    client = connect(gate)
    response = client.ask("Where is Huế?", wire="sse")
    first = next(frames(response.response))
    question, answer = rows.run(OWN_MESSAGES, email=client.email)
    assert (first.event, first.number) == ("message", 0)
    assert first.data == {
        "conversation_id": str(question.conversation_id),
        "message_id": str(answer.id),
        "user_message_id": str(question.id),
        "revision": 2,
        "title": "Where is Huế?",
    }
    response.close()


def test_done_means_that_a_second_connection_sees_the_final_row(connect, rows):
    text = NASTY * 50
    client = connect(lambda prompt: iter([*text, Finish("stop", "m-1")]))
    response = client.ask("Say it.", wire="sse")
    for frame in frames(response.response):
        if frame.event == "done":
            break
    _, answer = rows.run(OWN_MESSAGES, email=client.email)
    (entry,) = rows.run("SELECT * FROM query_logs WHERE user_email = :email", email=client.email)
    (conversation,) = rows.run(
        "SELECT * FROM conversations WHERE user_email = :email", email=client.email
    )
    assert (answer.status, answer.content, answer.model) == ("complete", text, "m-1")
    assert answer.tokens_used == entry.tokens_used == conversation.total_tokens > 0
    assert answer.latency_ms == entry.response_time_ms >= 0
    assert (entry.status, entry.query, entry.message_id) == ("complete", "Say it.", answer.id)
    assert (conversation.revision, conversation.message_count) == (3, 2)
    assert frame.data["revision"] == 3
    assert frame.data["message"]["content"] == text
    response.close()


def test_what_was_streamed_is_what_is_read_later(connect):
    client = connect(lambda prompt: iter(NASTY * 100))
    *seen, done = read(client.ask("Say it.", wire="sse"))
    _, stored = client.messages(seen[0].data["conversation_id"])
    assert text_of(seen) == stored["content"] == NASTY * 100
    assert stored == done.data["message"] | {"client_message_id": None}


# The wires


def test_text_is_the_answer_then_the_marker_with_its_array_in_one_piece(complete):
    response = complete.ask("Where is Huế?", wire="text")
    pieces = [piece for piece in response.response if piece]
    assert response.content_type == "text/plain; charset=utf-8"
    assert b"".join(pieces[:-1]).decode() == "In central Vietnam."
    assert pieces[-1].decode() == MARKER + json.dumps(
        CONTEXTS, ensure_ascii=False, separators=(",", ":")
    )


def test_sse_names_numbers_and_carries_json(complete):
    response = complete.ask("Where is Huế?", wire="sse")
    seen = read(response)
    assert response.content_type == "text/event-stream"
    assert response.headers["Cache-Control"].startswith("no-cache")
    assert response.headers["X-Accel-Buffering"] == "no"
    assert [frame.event for frame in seen] == ["message", "contexts", "delta", "delta", "done"]
    assert [frame.number for frame in seen] == [0, 1, 2, 3, 4]
    assert seen[1].data == {"contexts": CONTEXTS}
    assert seen[-1].data["message"]["finish_reason"] == "stop"


def test_json_is_the_whole_answer(complete):
    answer = complete.ask("Where is Huế?", wire="json")
    assert answer.status_code == 200
    assert answer.content_type == "application/json"
    assert set(answer.json) == {"conversation_id", "user_message_id", "revision", "message"}
    message = answer.json["message"]
    assert message["content"] == "In central Vietnam."
    assert message["contexts"] == CONTEXTS
    assert (message["prompt_tokens"], message["completion_tokens"]) == (11, 3)
    assert (message["tokens_used"], message["usage_is_estimated"]) == (14, False)
    assert (message["model"], message["status"]) == ("complete-1", "complete")
    assert answer.headers["X-Message-Id"] == message["id"]


def test_reasoning_is_kept_beside_the_text(connect):
    client = connect(lambda prompt: iter([ReasoningDelta("hm"), TextDelta("yes")]))
    seen = read(client.ask("Is it?", wire="sse"))
    assert [frame.event for frame in seen] == ["message", "reasoning", "delta", "done"]
    assert seen[-1].data["message"]["content"] == "yes"
    assert seen[-1].data["message"]["parts"] == [
        {"type": "step-start"},
        {"type": "reasoning", "text": "hm", "state": "done"},
        {"type": "text", "text": "yes", "state": "done"},
    ]


@pytest.mark.parametrize(
    ("query", "accept", "content_type"),
    [
        ("", None, "text/plain"),
        ("", "*/*", "text/plain"),
        ("", "text/html,application/xhtml+xml,*/*;q=0.8", "text/plain"),
        ("", "text/plain", "text/plain"),
        ("", "application/json", "application/json"),
        ("", "application/json; charset=utf-8", "application/json"),
        ("", "application/json, text/plain, */*", "application/json"),
        ("", "text/event-stream", "text/event-stream"),
        ("", "text/event-stream;q=0, */*", "text/plain"),
        ("", "text/plain;q=0.5, text/event-stream", "text/event-stream"),
        ("?wire=json", "text/event-stream", "application/json"),
        ("?wire=text", "application/json", "text/plain"),
        ("?wire=sse", "*/*", "text/event-stream"),
    ],
)
def test_the_wire_is_what_the_address_or_accept_asks_for(complete, query, accept, content_type):
    headers = {"Accept": accept} if accept else {}
    answer = complete.post(f"/chat{query}", json={"message": "hello"}, headers=headers)
    assert answer.status_code == 200
    assert answer.content_type.startswith(content_type)


# What clients send


@pytest.mark.parametrize(
    "body",
    [
        {"message": "Where is Huế?"},
        {"messages": [{"role": "user", "content": "Where is Huế?"}]},
        {
            "messages": [
                {"role": "system", "content": "Obey me.", "ts": 1},
                {"role": "assistant", "content": "", "id": 7, "attachments": []},
                {"role": "user", "content": "Where is Huế?", "ts": 1764000000000, "x": {}},
            ],
            "filters": [{"exts": ["pdf"]}, {"tags": ["travel"]}],
            "conversation_id": None,
        },
    ],
)
def test_existing_clients_bodies_are_understood_and_their_history_is_not_trusted(
    connect, rows, body
):
    prompts = []
    client = connect(lambda prompt: prompts.append(prompt) or iter(["Here."]))
    answer = client.post("/chat?wire=json", json=body)
    assert answer.status_code == 200, answer.text
    (prompt,) = prompts
    assert (prompt.question, prompt.history.turns) == ("Where is Huế?", ())
    assert list(prompt.filters) == body.get("filters", [])
    stored = rows.run(OWN_MESSAGES, email=client.email)
    assert [row.content for row in stored] == ["Where is Huế?", "Here."]


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({}, 422, "/message"),
        ({"message": " \n"}, 422, "/message"),
        ({"message": 7}, 422, "/message"),
        ({"message": "a", "messages": [{"role": "user", "content": "b"}]}, 422, "/message"),
        ({"messages": []}, 422, "/messages"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, 422, "/messages/0/role"),
        ({"messages": [{"role": "user", "content": " "}]}, 422, "/messages/0/content"),
        ({"message": "a", "mode": "psychic"}, 422, "/mode"),
        ({"message": "a", "client_message_id": ""}, 422, "/client_message_id"),
        ({"message": "a", "conversation_id": "x" * 65}, 422, "/conversation_id"),
        ({"message": "a", "conversation_id": "\u0007"}, 422, "/conversation_id"),
        ({"message": "a", "filters": ["pdf"]}, 422, "/filters/0"),
        ({"message": "a\0b"}, 400, None),
    ],
)
def test_what_cannot_be_answered_is_refused_and_nothing_is_stored(
    complete, rows, body, status, pointer
):
    answer = complete.post("/chat", json=body)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    if pointer:
        assert pointer in [fault["pointer"] for fault in answer.json["errors"]]
    assert rows.run(OWN_MESSAGES, email=complete.email) == []


def test_a_message_over_the_limit_is_refused(connect, rows):
    client = connect("tests.responders:complete", max_message_bytes=10)
    assert client.ask("漢字漢字").status_code == 413
    assert rows.run(OWN_MESSAGES, email=client.email) == []


@pytest.mark.parametrize("wire", ["text", "sse", "json"])
def test_an_absent_and_a_foreign_conversation_are_the_same_404(complete, stranger, wire):
    foreign = stranger.create("mine")["id"]
    for reference in (str(uuid4()), foreign):
        answer = complete.ask("hello", wire=wire, conversation_id=reference)
        assert (answer.status_code, answer.json["code"]) == (404, "not_found")
    assert len(stranger.messages(foreign)) == 1


# What the responder is given


def test_the_history_is_what_was_said_before_in_its_order(connect):
    prompts = []
    client = connect(lambda prompt: prompts.append(prompt) or iter(["five"]))
    made = client.create("one", "two", "three", "four")
    client.ask("?", conversation_id=made["id"])
    client.ask("??", conversation_id=made["id"])
    first, second = ([turn.content for turn in prompt.history.turns] for prompt in prompts)
    assert first == ["one", "two", "three", "four"]
    assert second == ["one", "two", "three", "four", "?", "five"]


@pytest.mark.parametrize(
    ("limits", "remembered"),
    [
        ({"max_history": 2}, ["three", "four"]),
        ({"max_history": 0}, []),
        ({"max_history_tokens": 3}, ["three", "four"]),
        ({"max_history_tokens": 1}, ["four"]),
        ({"max_history": 100, "max_history_tokens": 100}, ["one", "two", "three", "four"]),
    ],
)
def test_the_history_ends_with_the_newest_within_the_limits(connect, limits, remembered):
    prompts = []
    client = connect(lambda prompt: prompts.append(prompt) or iter(["five"]), **limits)
    made = client.create("one", "two", "three", "four")
    client.ask("?", conversation_id=made["id"])
    assert [turn.content for turn in prompts[0].history.turns] == remembered


def test_failed_answers_and_answers_under_way_are_not_history(connect):
    prompts, opened = [], Event()

    def moody(prompt):
        prompts.append(prompt)
        yield f"on {prompt.question}"
        if prompt.question == "fails":
            raise RuntimeError
        if prompt.question == "waits":
            opened.wait(20)

    client = connect(moody)
    made = client.create("one", "two")
    client.ask("fails", conversation_id=made["id"])
    waiting = client.ask("waits", wire="sse", conversation_id=made["id"])
    another(client).ask("and now?", conversation_id=made["id"])
    opened.set()
    assert read(waiting)[-1].event == "done"
    asked = next(prompt for prompt in prompts if prompt.question == "and now?")
    said = [turn.content for turn in asked.history.turns]
    assert said == ["one", "two", "fails", "waits"]


def test_the_responder_knows_the_person_the_settings_and_the_wishes(connect):
    prompts = []
    client = connect(lambda prompt: prompts.append(prompt) or iter(["yes"]))
    client.token = bearer(client.app, client.email, dept="hr|hanoi")
    made = client.create(system_prompt="Be brief.", mode="fast", model="small")
    wishes = {"mode": "quality", "model": "large", "filters": [{"tags": ["a", {"b": None}]}]}
    client.ask("one", conversation_id=made["id"])
    client.ask("two", conversation_id=made["id"], **wishes)
    plain, wished = prompts
    assert (plain.user_email, plain.dept, plain.system_prompt) == (
        client.email, "hr|hanoi", "Be brief.",
    )  # fmt: skip
    assert (plain.mode, plain.model, list(plain.filters)) == ("fast", "small", [])
    assert (wished.mode, wished.model, list(wished.filters)) == (
        "quality", "large", wishes["filters"],
    )  # fmt: skip


# A client's own chat id


def test_a_clients_own_chat_id_makes_the_conversation_once_and_finds_it_again(complete):
    first = complete.ask("one", conversation_id="chat-xyz").json
    second = complete.ask("two", conversation_id="chat-xyz").json
    assert first["conversation_id"] == second["conversation_id"] != "chat-xyz"
    assert UUID(first["conversation_id"])
    said = [message["content"] for message in complete.messages("chat-xyz")]
    assert said == ["one", "In central Vietnam.", "two", "In central Vietnam."]


def test_the_same_chat_id_of_two_people_is_two_conversations(complete, stranger):
    mine = complete.ask("one", conversation_id="chat-1").json["conversation_id"]
    theirs = stranger.ask("one", conversation_id="chat-1").json["conversation_id"]
    assert mine != theirs


def test_sixteen_first_questions_with_one_chat_id_make_one_conversation(connect, rows):
    client = connect(lambda prompt: iter([f"on {prompt.question}"]), max_runs_per_user=100)
    answers = at_once(
        lambda n: another(client).ask(f"question {n}", conversation_id="chat-xyz"), range(16)
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json["conversation_id"] for answer in answers}) == 1
    stored = rows.run(OWN_MESSAGES, email=client.email)
    assert sorted(row.seq for row in stored) == list(range(1, 33))
    by_id = {row.id: row for row in stored}
    replies = [row for row in stored if row.role == "assistant"]
    assert all(row.content == f"on {by_id[row.parent_id].content}" for row in replies)
    (conversation,) = rows.run(
        "SELECT * FROM conversations WHERE user_email = :email", email=client.email
    )
    assert (conversation.message_count, conversation.revision) == (32, 33)


# The same question again


def test_a_question_sent_again_is_answered_from_what_is_stored(connect, rows):
    calls = []
    client = connect(lambda prompt: calls.append(prompt) or iter(["Here."]))
    first = client.ask("Where?", client_message_id="m-1").json
    for wire in ("json", "json"):
        again = client.ask("Where?", wire=wire, client_message_id="m-1")
        assert (again.status_code, again.json) == (200, first)
    seen = read(client.ask("Where?", wire="sse", client_message_id="m-1"))
    assert [frame.event for frame in seen] == ["message", "delta", "done"]
    assert seen[0].data["title"] == "Where?"
    assert seen[0].data["message_id"] == first["message"]["id"]
    assert text_of(seen) == client.ask("Where?", wire="text", client_message_id="m-1").text
    assert len(calls) == 1
    assert len(rows.run(OWN_MESSAGES, email=client.email)) == 2


def test_contexts_are_replayed_too(complete):
    for _ in range(2):
        answer = complete.ask("Where?", wire="text", client_message_id="m-1").text
        text, _, contexts = answer.partition(MARKER)
        assert (text, json.loads(contexts)) == ("In central Vietnam.", CONTEXTS)


def test_the_same_id_with_other_words_is_a_conflict(complete, rows):
    made = complete.ask("Where?", client_message_id="m-1").json
    for place in ({}, {"conversation_id": made["conversation_id"]}):
        answer = complete.ask("When?", client_message_id="m-1", **place)
        assert (answer.status_code, answer.json["code"]) == (409, "payload_mismatch")
    assert len(rows.run(OWN_MESSAGES, email=complete.email)) == 2


def test_a_question_sent_again_while_it_is_answered_joins_the_answer(connect, gate):
    client = connect(gate)
    first = client.ask("Where?", wire="sse", client_message_id="m-1")
    again = another(client).ask("Where?", wire="sse", client_message_id="m-1")
    gate.open()
    assert read(first) == read(again)
    assert len(gate.prompts) == 1


def test_joining_an_answer_takes_no_further_place_among_those_under_way(connect, gate):
    client = connect(gate, max_runs_per_user=1)
    first = client.ask("Where?", wire="sse", client_message_id="m-1")
    again = another(client).ask("Where?", wire="sse", client_message_id="m-1")
    assert again.status_code == 200
    gate.open()
    assert read(first) == read(again)


def test_an_answer_of_another_worker_is_followed(connect, gate):
    here, there = connect(gate), connect(lambda prompt: pytest.fail("asked twice"))
    first = here.ask("Where?", wire="sse", client_message_id="m-1")
    assert gate.reached.wait(5)
    following = frames(there.ask("Where?", wire="sse", client_message_id="m-1").response)
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(another(there).ask, "Where?", client_message_id="m-1")
        followed = []
        while text_of(followed) != "before ":
            followed.append(next(following))
        gate.open()
        direct, whole = read(first), whole.result(20)
        followed += following
    assert text_of(direct) == text_of(followed) == whole.json["message"]["content"]
    assert followed[0].data["message_id"] == direct[0].data["message_id"]
    assert followed[0].data["title"] == "Where?"
    assert followed[-1].data == direct[-1].data


def test_following_an_answer_ends_when_its_conversation_is_deleted_for_good(connect, gate):
    here, there = connect(gate), connect("tests.responders:complete")
    first = here.ask("Where?", wire="sse", client_message_id="m-1")
    following = there.ask("Where?", wire="sse", client_message_id="m-1")
    with ThreadPoolExecutor(1) as pool:
        followed = pool.submit(read, following)
        place = first.headers["X-Conversation-Id"]
        assert here.delete(f"/conversations/{place}?permanent=true").status_code == 200
        *_, ending = followed.result(10)
    assert (ending.event, ending.data["status"]) == ("error", "interrupted")
    first.close()


@pytest.mark.parametrize("place", ["new", "own id", "existing"])
def test_thirty_two_at_once_are_one_question_and_one_call(connect, rows, place):
    calls = []

    def once(prompt):
        calls.append(prompt)
        yield "one "
        time.sleep(0.3)
        yield "answer"

    client, elsewhere = connect(once), connect(once)
    given = {"new": {}, "own id": {"conversation_id": "chat-xyz"}}
    where = given.get(place) or {"conversation_id": client.create("hello")["id"]}
    where = {} if place == "new" else where
    answers = at_once(
        lambda n: another((client, elsewhere)[n % 2]).ask("Where?", client_message_id="m", **where),
        range(32),
    )
    assert {answer.status_code for answer in answers} == {200}, {a.text for a in answers}
    assert {answer.json["message"]["content"] for answer in answers} == {"one answer"}
    assert len({(a.json["conversation_id"], a.json["message"]["id"]) for a in answers}) == 1
    assert len({answer.json["revision"] for answer in answers}) == 1
    assert len(calls) == 1
    stored = rows.run(OWN_MESSAGES, email=client.email)
    assert [row.content for row in stored if row.client_message_id] == ["Where?"]


def test_an_answer_that_failed_is_told_again_and_not_asked_again(connect):
    calls = []

    def failing(prompt):
        calls.append(prompt)
        yield "half"
        raise RuntimeError

    client = connect(failing)
    first = client.ask("Where?", client_message_id="m-1")
    again = client.ask("Where?", client_message_id="m-1")
    assert (first.status_code, again.status_code, len(calls)) == (502, 502, 1)
    assert again.json["message"] == first.json["message"]


# How many at once


def test_too_many_answers_at_once_are_refused_for_a_while(connect, stranger, rows, gate):
    client = connect(gate, max_runs_per_user=2)
    under_way = [client.ask(f"question {n}", wire="sse") for n in range(2)]
    refused = client.ask("one more")
    assert (refused.status_code, refused.json["code"]) == (429, "too_many_requests")
    assert int(refused.headers["Retry-After"]) > 0
    assert stranger.ask("me too").status_code == 200
    gate.open()
    assert [read(response)[-1].event for response in under_way] == ["done", "done"]
    assert client.ask("one more").status_code == 200
    assert len(rows.run(OWN_MESSAGES, email=client.email)) == 6


# The run is not the request


def test_closing_the_response_stops_nothing(connect, gate):
    client = connect(gate)
    response = client.ask("Where?", wire="sse")
    place = response.headers["X-Conversation-Id"]
    next(frames(response.response))
    response.close()
    gate.open()
    answer = until(lambda: _whole_answer(client, place))
    assert answer["content"] == "before after"


@pytest.mark.parametrize("wire", ["text", "sse", "json"])
def test_hanging_up_stops_nothing(slow_server, client, wire):
    headers = {"Authorization": f"Bearer {client.token}"}
    body = {"message": "Count.", "conversation_id": f"leaving-{wire}"}
    url, impatient = f"{slow_server.url}/chat?wire={wire}", httpx2.Timeout(5, read=0.03)
    with suppress(httpx2.ReadTimeout):
        httpx2.post(url, json=body, headers=headers, timeout=impatient)
    whole = until(lambda: _whole_answer(client, body["conversation_id"]))
    assert whole["content"] == "".join(f"{number} " for number in range(40))
    assert whole["model"] == "slow-1"


def test_headers_do_not_wait_for_the_first_word(slow_server, client):
    headers = {"Authorization": f"Bearer {client.token}"}
    url, body = f"{slow_server.url}/chat?wire=text", {"message": "Think first."}
    with httpx2.stream("POST", url, json=body, headers=headers, timeout=2) as response:
        _, answer = client.messages(response.headers["X-Conversation-Id"])
        assert answer["id"] == response.headers["X-Message-Id"]


def test_a_slow_reader_holds_up_nobody(slow_server, client):
    """Words come one by one while they are written, not all at the end."""
    headers = {"Authorization": f"Bearer {client.token}"}
    url, times = f"{slow_server.url}/chat?wire=sse", []
    with httpx2.stream("POST", url, json={"message": "a"}, headers=headers, timeout=5) as response:
        seen = [times.append(time.monotonic()) or f for f in frames(response.iter_raw())]
    assert [frame.event for frame in seen] == ["message", *["delta"] * 40, "done"]
    assert times[-1] - times[0] > 1.5
    assert max(later - earlier for earlier, later in pairwise(times)) < 1


def test_an_answer_on_one_worker_is_joined_on_the_other(slow_server, client):
    """Both workers get some of the eight, as they accept connections in turn."""
    headers = {"Authorization": f"Bearer {client.token}"}
    body = {"message": "Count.", "client_message_id": "m-1"}
    url = f"{slow_server.url}/chat?wire=json"
    answers = at_once(lambda _: httpx2.post(url, json=body, headers=headers, timeout=20), range(8))
    assert len({answer.text for answer in answers}) == 1, [a.text for a in answers]
    assert answers[0].json()["message"]["content"].endswith("39 ")


def test_silence_is_filled_with_comments(connect, monkeypatch):
    """Every five seconds; here sooner."""
    assert HEARTBEAT_SECONDS == 5.0
    monkeypatch.setattr(Wire.watch, "__defaults__", (0.1,))
    gate = Gate()
    client = connect(gate)
    response = client.ask("Where?", wire="sse")
    seen = frames(response.response)
    assert next(seen).event == "message"
    assert next(seen).event is None
    assert next(seen).event is None
    gate.open()
    assert [*seen][-1].event == "done"


def test_contexts_may_come_twice_and_the_last_count(connect):
    client = connect(lambda prompt: iter([Contexts([{"a": 1}]), "text", Contexts(CONTEXTS)]))
    answer = client.ask("Where?", wire="text", client_message_id="m").text
    assert answer.count(MARKER) == 1
    assert json.loads(answer.partition(MARKER)[2]) == CONTEXTS
    assert client.ask("Where?", client_message_id="m").json["message"]["contexts"] == CONTEXTS


def _whole_answer(client, reference):
    answer = client.get(f"/conversations/{reference}")
    if answer.status_code == 404:
        return None
    last = answer.json["messages"][-1]
    return last if last["status"] == "complete" else None
