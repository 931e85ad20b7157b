"""POST /chat/agent: a model with tools over the user's own history, and nobody else's."""

import json
from contextlib import closing
from dataclasses import replace
from threading import Event
from uuid import uuid4

import pytest

from app import Parley
from app.responders.agent import NO_ANSWER
from app.responders.tool_calls import MOST_CALLS
from app.responders.tools import NO_OBJECT, NO_SUCH_TOOL, TOO_LONG, Tool
from app.services.tools import NO_CONVERSATION
from tests.client import Client
from tests.evidence import assert_problem
from tests.fake_model import MODEL, SECRET, FakeModel, calls, refuse, text
from tests.streams import frames, text_of, until

TEA = "In Huế I drank green tea by the Perfume River."
SEARCH = ("search_conversations", {"query": "green tea"})


@pytest.fixture
def model():
    with FakeModel(otherwise=text("It was green tea.")) as fake:
        yield fake


@pytest.fixture
def talking(make_app, model):
    """An application whose agent asks the model."""
    return make_app(openai_base_url=model.url, openai_model=MODEL, agent_max_steps=4)


@pytest.fixture
def person(talking, email):
    return Client(talking, email)


def ask(person, message="What did I drink?", wire="json", **fields):
    return person.post(f"/chat/agent?wire={wire}", json={"message": message, **fields})


def reading(conversation_id, **arguments):
    return ("read_conversation", {"conversation_id": conversation_id, **arguments})


def results(model, round_=-1):
    """What the model was told of its calls in a round."""
    said = model.requests[round_].body["messages"]
    asked = max(n for n, message in enumerate(said) if message["role"] == "assistant")
    return [message["content"] for message in said[asked + 1 :]]


def tools_of(message):
    return [part for part in message["parts"] if part["type"].startswith("tool-")]


def test_an_answer_is_based_on_what_the_user_said_before(person, model):
    told = person.create(TEA, "That sounds calm.")
    model.will(calls(SEARCH, said="Let me look."))
    answer = ask(person).json["message"]
    assert answer["content"] == "Let me look.\n\nIt was green tea."
    assert (answer["status"], answer["model"], answer["tokens_used"]) == ("complete", MODEL, 20)
    (passage,) = answer["contexts"]
    assert (passage["text"], passage["conversation_id"]) == (TEA, told["id"])
    (called,) = tools_of(answer)
    assert called["state"] == "output-available"
    assert called["input"] == SEARCH[1]
    assert called["output"] == {"results": [passage]}
    assert results(model) == [
        json.dumps(called["output"], ensure_ascii=False, separators=(",", ":"))
    ]


def test_its_steps_come_in_while_it_works(person, model):
    person.create(TEA)
    model.will(calls(SEARCH))
    answer = ask(person, wire="sse")
    seen = [frame for frame in frames(answer.response) if frame.event]
    named = [frame.event for frame in seen if frame.event != "delta"]
    assert named == ["message", "tool_call", "contexts", "tool_result", "step", "done"]
    assert text_of(seen) == "It was green tea."
    by_name = {frame.event: frame.data for frame in seen}
    stored = person.messages(by_name["message"]["conversation_id"])[-1]
    assert tools_of(stored)[0]["output"] == {"results": stored["contexts"]}


def test_a_conversation_is_read_from_its_end_page_by_page(person, model):
    long = person.create(*(f"{n}: " + "x" * 3000 for n in range(30)))
    first, second = reading(long["id"]), reading(long["id"], before=long["messages"][10]["id"])
    model.will(calls(first, second))
    ask(person)
    newest, earlier = map(json.loads, results(model))
    shown = [message["text"].partition(":")[0] for message in newest["messages"]]
    assert shown == [str(n) for n in range(30 - len(shown), 30)]
    assert 5 <= len(shown) <= 20
    assert newest["before"] == newest["messages"][0]["id"]
    assert {len(message["text"]) for message in newest["messages"]} == {2001}
    assert earlier["messages"][-1]["text"].startswith("9: ")
    model.will(calls(reading(long["id"], before=long["messages"][2]["id"])))
    ask(person)
    assert [json.loads(told)["before"] for told in results(model)] == [None]


def test_what_is_somebody_elses_does_not_exist(person, model, stranger):
    canary = f"canary{uuid4().hex}"
    foreign = stranger.create(f"The green tea is called {canary}.", title=canary)
    stranger.post("/conversations", json={"client_id": "tea-1", "title": canary})
    own, message_id = person.create("Hello", "Hi"), foreign["messages"][0]["id"]
    model.will(
        calls(
            *map(reading, (foreign["id"], str(uuid4()), "tea-1", "tea-2")),
            reading(foreign["id"], before=message_id),
            reading(own["id"], before=message_id),
            reading(own["id"], before=str(uuid4())),
        ),
        calls(
            ("search_conversations", {"query": "green tea", "user_email": stranger.email}),
            ("search_conversations", {"query": "called", "limit": 10**6, "owner": stranger.email}),
        ),
    )
    answer = ask(person)
    read = [json.loads(told)["error"] for told in results(model, 1)]
    assert read[:5] == [NO_CONVERSATION] * 5
    assert read[5] == read[6] != NO_CONVERSATION
    assert [json.loads(told) for told in results(model)] == [{"results": []}] * 2
    assert answer.json["message"]["status"] == "complete"
    assert canary not in answer.text
    assert canary not in json.dumps([request.body for request in model.requests])


def test_what_lies_in_the_trash_is_not_found(person, model):
    gone = person.create(TEA)
    person.delete(f"/conversations/{gone['id']}")
    model.will(calls(SEARCH, reading(gone["id"])))
    ask(person)
    found, read = map(json.loads, results(model))
    assert (found, read) == ({"results": []}, {"error": NO_CONVERSATION})


BADLY_CALLED = [
    (("search_conversations", "{"), NO_OBJECT),
    (("search_conversations", "[" * 5000), NO_OBJECT),
    (("search_conversations", {}), "query must be a text."),
    (("search_conversations", {"query": ["x"]}), "query must be a text."),
    (("search_conversations", {"query": "x", "limit": "5"}), "limit must be a whole number."),
    (("read_conversation", {"conversation_id": 5}), "conversation_id must be a text."),
    (("read_conversation", {"conversation_id": "a", "before": "b"}), "before must be"),
    (("delete_conversation", {"conversation_id": "a"}), NO_SUCH_TOOL),
]


def test_bad_calls_are_results_that_say_so(person, model):
    model.will(calls(*(call for call, _ in BADLY_CALLED)))
    parts = tools_of(ask(person).json["message"])
    assert [part["state"] for part in parts] == ["output-error"] * len(BADLY_CALLED)
    for part, (_, sentence) in zip(parts, BADLY_CALLED, strict=True):
        assert part["errorText"].startswith(sentence)


def test_a_model_that_goes_too_far_comes_to_an_end(person, model, rows):
    many = [("search_conversations", {"query": f"tea {n}"}) for n in range(1000)]
    huge = ("search_conversations", json.dumps({"query": "x" * 300_000}))
    model.will(calls(*many, size=99), calls(huge, size=9999), *[calls(SEARCH)] * 9)
    answer = ask(person).json["message"]
    parts = tools_of(answer)
    assert len(model.requests) == 4
    assert ["tools" in request.body for request in model.requests] == [True, True, True, False]
    assert len(parts) == MOST_CALLS + 2
    assert parts[MOST_CALLS]["errorText"] == TOO_LONG
    assert (answer["status"], answer["content"]) == ("complete", NO_ANSWER)
    assert answer["tokens_used"] == 40
    assert len(json.dumps(answer)) < 50_000
    (stored,) = rows.run("SELECT parts FROM messages WHERE id = :id", id=answer["id"])
    assert stored.parts == answer["parts"]


def test_the_same_question_again_is_the_same_answer(person, model):
    model.will(calls(SEARCH))
    first, again = (ask(person, client_message_id="q-1").json for _ in range(2))
    assert again["message"] == first["message"]
    assert len(model.requests) == 2


def test_another_answer_is_looked_up_if_it_is_asked_for(person, model):
    asked = person.ask("What did I drink?").json
    place = f"/conversations/{asked['conversation_id']}/messages/{asked['message']['id']}"
    model.will(calls(SEARCH))
    plain, agents = (
        person.post(f"{place}/regenerate?wire=json", json=body).json["message"]
        for body in ({}, {"agent": True})
    )
    assert (plain["model"], plain["parts"]) == ("recall", None)
    assert [part["type"] for part in tools_of(agents)] == ["tool-search_conversations"]


def test_an_answer_that_fails_in_a_later_round_keeps_its_calls(person, model):
    model.will(calls(SEARCH, said="Let me look."), refuse(401))
    problem = assert_problem(ask(person), 502, "model_failed")
    message = problem["message"]
    assert (message["status"], message["error_class"]) == ("failed", "unauthorized")
    assert message["content"] == "Let me look.\n\n"
    assert message["tokens_used"] == 10
    assert tools_of(message)[0]["state"] == "output-available"
    assert SECRET not in json.dumps(problem)


def test_who_asks_without_an_agent_calls_no_tools(make_app, model, email):
    app = make_app("openai", openai_base_url=model.url, openai_model=MODEL)
    model.will(calls(SEARCH, said="Let me look."))
    answer = Client(app, email).ask("What did I drink?").json["message"]
    assert (answer["content"], answer["parts"]) == ("Let me look.", None)
    assert "tools" not in model.requests[0].body


def test_without_a_model_the_agent_recalls(client):
    client.create(TEA)
    answer = ask(client, "Where did I drink green tea?").json["message"]
    assert answer["model"] == "recall"
    assert TEA in answer["content"]


def test_a_hosts_own_tools_work_in_the_users_name(app, settings, model, email):
    ours = Tool("whoami", "Who asks.", {"type": "object"}, lambda prompt, _: prompt.user_email)
    known = replace(settings, openai_base_url=model.url, openai_model=MODEL)
    with closing(Parley("agent", tools=[ours], settings=known)) as parley:
        person = Client(parley.application(), email)
        model.will(calls(("whoami", {"user_email": "bob@example.com"})))
        answer = person.ask("Who am I?").json["message"]
    assert tools_of(answer)[0]["output"] == email
    described = [tool["function"]["name"] for tool in model.requests[0].body["tools"]]
    assert described == ["search_conversations", "read_conversation", "whoami"]


def test_an_answer_that_is_stopped_while_a_tool_works_asks_no_further(app, settings, model, email):
    reached, opened = Event(), Event()

    def wait(prompt, arguments):
        reached.set()
        opened.wait(20)

    known = replace(settings, openai_base_url=model.url, openai_model=MODEL)
    tool = Tool("wait", "Waits.", {"type": "object"}, wait)
    with closing(Parley("agent", tools=[tool], settings=known)) as parley:
        person = Client(parley.application(), email)
        model.will(calls(("wait", {}), said="Let me wait."))
        answer = person.ask("How long?", "sse")
        reached.wait(20)
        conversation_id = answer.headers["X-Conversation-Id"]
        assert person.post(f"/chat/{conversation_id}/stop").status_code == 200
        assert list(frames(answer.response))[-1].data["status"] == "cancelled"
        opened.set()
        until(lambda: not parley.runner.asking(email))
        stored = person.messages(conversation_id)[-1]
    assert (stored["status"], stored["content"]) == ("cancelled", "Let me wait.\n\n")
    assert [part["state"] for part in tools_of(stored)] == ["input-available"]
    assert stored["tokens_used"] == 10
    assert len(model.requests) == 1
