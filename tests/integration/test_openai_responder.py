"""The responder over Chat Completions, against a server that speaks it well and badly."""

import json
import logging
import os
import random
import socket
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import pytest

from app.clock import now
from app.errors import ModelError, ModelTimeoutError, SettingsError
from app.ids import new_id
from app.responders import chat_model
from app.responders.base import Finish, Prompt, ReasoningDelta, TextDelta, Usage
from app.responders.chat_model import ChatModel
from app.responders.openai import OpenAIResponder
from app.transcript import Transcript, Turn
from tests.fake_model import (
    DONE,
    MODEL,
    SECRET,
    FakeModel,
    broken_off,
    encoded,
    frame,
    frames,
    garbage,
    hang,
    hang_after,
    huge_line,
    raw,
    refuse,
    refuse_stream_options,
    says,
    stream_error,
    text,
    whole,
)

KEY = "sk-the-operators-own-key"
SEED = int(os.environ.get("TEST_SEED") or random.SystemRandom().randrange(2**32))
PATIENT, IMPATIENT = 10.0, 0.6
ANSWER = "Grüße aus Hà Nội 👋🏽 — 今日は、すべて良い。 Ok?\n\n1. ½ \u2028 2. مرحبا"
WHOLE = encoded(*frames(ANSWER))


@pytest.fixture
def model():
    with FakeModel() as fake:
        yield fake


@pytest.fixture
def make(model):
    made = []

    def make(timeout=PATIENT, url=model.url, key=KEY):
        made.append(ChatModel(url, key, MODEL, timeout))
        return OpenAIResponder(made[-1])

    yield make
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def nothing_leaks(caplog):
    caplog.set_level(logging.DEBUG)
    yield
    logged = [logging.Formatter().format(record) for record in caplog.get_records("call")]
    assert not [line for line in logged if SECRET in line or KEY in line]


def prompt(question="Hello?", **known):
    return Prompt(question=question, user_email="ann@example.com", **known)


def text_of(events, kind=TextDelta):
    return "".join(event.text for event in events if isinstance(event, kind))


def outcome(responder):
    """The text that came, and the Finish or the error that ended it."""
    events = []
    try:
        for event in responder.stream(prompt()):
            events.append(event)
    except ModelError as error:
        return text_of(events), silent(error)
    return text_of(events), events[-1]


def silent(error):
    """The error, which says its class's sentence and nothing that the provider said."""
    told = repr(error) + "".join(traceback.format_exception(error))
    assert SECRET not in told
    assert KEY not in told
    assert str(error) == type(error).message
    return error


def turn(role, content, status="complete"):
    known = {"id": new_id(), "seq": 1, "parent_id": None, "created_at": now()}
    return Turn(role=role, content=content, status=status, **known)


def test_an_answer_is_streamed_with_usage_and_finish_at_its_end(model, make):
    model.will(text("Hello world", size=5))
    events = list(make().stream(prompt()))
    assert events[:3] == [TextDelta("Hello"), TextDelta(" worl"), TextDelta("d")]
    assert events[3:] == [Usage(7, 3), Finish("stop", MODEL)]


def test_text_arrives_while_the_model_still_writes(model, make):
    model.will(hang_after("Hel"))
    answer = make().stream(prompt())
    assert next(answer) == TextDelta("Hel")
    answer.close()


def test_the_request_is_what_chat_completions_expects(model, make):
    history = (
        turn("user", "One?"),
        turn("assistant", "half", "interrupted"),
        turn("assistant", "nothing came", "failed"),
        turn("assistant", "", "cancelled"),
        turn("assistant", "going on", "streaming"),
        turn("tool", "{}"),
        turn("system", "Be kind."),
    )
    known = {"history": Transcript(history), "system_prompt": "Be brief.", "model": "other-1"}
    assert text_of(make(url=model.url + "/").stream(prompt("Two?", **known))) == "Two?"
    (request,) = model.requests
    assert request.path == "/v1/chat/completions"
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    said = [("system", "Be brief."), ("user", "One?"), ("assistant", "half")]
    said += [("system", "Be kind."), ("user", "Two?")]
    assert request.body == {
        "model": "other-1",
        "stream": True,
        "stream_options": {"include_usage": True},
        "messages": [{"role": role, "content": content} for role, content in said],
    }


def test_without_a_key_none_is_sent(model, make):
    outcome(make(key=None))
    assert "Authorization" not in model.requests[0].headers


DIALECTS = {
    "cut at every byte": text(ANSWER, every=1),
    "cut at every third byte, CRLF": text(ANSWER, every=3, newline="\r\n"),
    "CR, cut at every byte": text(ANSWER, every=1, newline="\r"),
    "byte order mark, cut at every byte": raw(*(bytes([b]) for b in b"\xef\xbb\xbf" + WHOLE)),
    "no [DONE]": text(ANSWER, done=False),
    "no usage": text(ANSWER, usage=None),
    "no end of the last line": raw(encoded(*frames(ANSWER, usage=None, done=False)).rstrip()),
    "one newline between payloads": raw(WHOLE.replace(b"\n\n", b"\n")),
    "no space after the colon": raw(WHOLE.replace(b"data: ", b"data:")),
    "other fields, empty payloads": raw(b"retry: 3\nevent: x\nid\nfoo\ndata:\n\n" + WHOLE),
    "comments": raw(WHOLE.replace(b"\n\n", b"\n\n: OPENROUTER PROCESSING\n\n")),
    "unknown fields": raw(WHOLE.replace(b'"index"', b'"x_new": [{}], "logprobs": 1, "index"')),
    "no choices": says({"choices": []}, {"choices": None}, {"object": "x"}, *frames(ANSWER)),
    "payloads that are no objects": says("null", "[]", '"ping"', *frames(ANSWER)),
    "null content": says(frame(None), *frames(ANSWER)[:3], frame(None), *frames(ANSWER)[3:]),
    "typed parts": says(frame([{"type": "text", "text": ANSWER}, 1]), frame(finish="stop")),
    "a refusal": says(frame(None, refusal=ANSWER), frame(finish="stop"), DONE),
    "one JSON object": whole(ANSWER),
    "events, called JSON": says(*frames(ANSWER), kind="application/json"),
    "cut after the finish": raw(encoded(*frames(ANSWER, done=False)), cut=True),
    "error after the finish": says(*frames(ANSWER, done=False), {"error": {"message": SECRET}}),
    "silence after the finish": hang_after(ANSWER, finish="stop"),
    "silence after [DONE]": lambda exchange: (_open_end(exchange), exchange.pause(30)),
    "stream_options refused": refuse_stream_options(text(ANSWER)),
    "stream_options refused with 422": refuse_stream_options(text(ANSWER), status=422),
}


def _open_end(exchange):
    exchange.start()
    exchange.write(WHOLE)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_answer(model, make, dialect):
    model.will(DIALECTS[dialect], DIALECTS[dialect])
    timeout = IMPATIENT if "silence" in dialect else PATIENT
    assert outcome(make(timeout)) == (ANSWER, Finish("stop", MODEL))
    assert len(model.requests) == (2 if "refused" in dialect else 1)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_is_kept_apart_from_the_text(model, make, name):
    model.will(says(frame(**{name: "Let me "}), frame(**{name: "think."}), *frames("42")))
    events = list(make().stream(prompt()))
    assert text_of(events, ReasoningDelta) == "Let me think."
    assert text_of(events) == "42"


REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool-calls", "error": "error"}
REASONS |= {"function_call": "tool-calls", "content_filter": "content-filter", "eos": "other"}


@pytest.mark.parametrize("theirs", REASONS)
def test_finish_reasons_are_ours(model, make, theirs):
    model.will(text("x", finish=theirs))
    assert outcome(make()) == ("x", Finish(REASONS[theirs], MODEL))


def test_done_after_text_is_an_end_even_without_a_finish_reason(model, make):
    model.will(text("x", finish=None))
    assert outcome(make()) == ("x", Finish("other", MODEL))


@pytest.mark.parametrize(
    ("escaped", "stored"),
    [
        (["a\\ud83db", "\\u0000c"], "a\ufffdb\ufffdc"),
        (["a\\ud83d", "\\udc4bb"], "a👋b"),
        (["\\udc4b\\ud83d"], "\ufffd\ufffd"),
    ],
)
def test_text_that_no_store_takes_is_replaced(model, make, escaped, stored):
    said = [json.dumps(frame("@")).replace("@", text) for text in escaped]
    model.will(says(*said, *frames("", model="m\0")))
    assert outcome(make()) == (stored, Finish("stop", "m\ufffd"))


@pytest.mark.parametrize("counts", [(True, 1), (1, None), (-1, 1), (1, 2**40), ("1", "1")])
def test_usage_that_counts_nothing_is_left_out(model, make, counts):
    usage = {"prompt_tokens": counts[0], "completion_tokens": counts[1]}
    model.will(text("x", usage=usage))
    assert list(make().stream(prompt())) == [TextDelta("x"), Finish("stop", MODEL)]


def then(*more, wait=0.0, cut=False, reset=False):
    """A fault: what has come so far, then these bytes, then an end of some kind."""

    def fault(begun):
        def behave(exchange):
            exchange.start()
            exchange.write(begun)
            for piece in more:
                exchange.write(piece)
            exchange.pause(wait)
            exchange.cut(reset=reset) if cut or reset else exchange.end()

        return behave

    return fault


def spoilt(last):
    return lambda begun: lambda it: (it.start(), it.write(begun), it.cut(last))


FAULTS = {
    "closed": (then(cut=True), "broken_off"),
    "reset": (then(wait=0.02, reset=True), "broken_off"),
    "ended early": (then(), "broken_off"),
    "cut within an HTTP chunk": (spoilt(b"ff\r\ndata: {"), "broken_off"),
    "bad HTTP": (spoilt(SECRET.encode() + b"\r\n\r\n"), "broken_off"),
    "bytes that are no text": (then(b"\n\xff\xfe\x00"), "broken_off"),
    "an HTML page": (then(f"\n\n<html>{SECRET}</html>\n".encode()), "broken_off"),
    "an error object": (then(b"\n\n" + encoded({"error": {"message": SECRET}})), "upstream"),
    "an old error object": (then(b"\n\n" + encoded({"object": "error"})), "upstream"),
    "no JSON": (then(b"\n\ndata: {" + SECRET.encode() + b"\n\n"), "upstream"),
    "JSON too deep": (then(b"\n\ndata: " + b"[" * 200_000 + b"\n\n"), "upstream"),
    "a number too long": (then(b"\n\ndata: " + b"9" * 9_000 + b"\n\n"), "upstream"),
    "a line too long": (then(b"\n\ndata: " + b"x" * 4_100_000), "upstream"),
    "silence": (then(wait=30), "timeout"),
    "comments only": (then(*[b"\n: on\n"] * 3, wait=30), "timeout"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_mid_answer_keeps_what_came_and_is_never_retried(model, make, fault):
    print(f"TEST_SEED={SEED}")
    draw = random.Random(f"{SEED} {fault}")
    behave, error_class = FAULTS[fault]
    ending = encoded(*frames(ANSWER)[-3:])
    earliest, latest = len(encoded(*frames(ANSWER)[:2])), len(WHOLE) - len(ending)
    responder = make(IMPATIENT if error_class == "timeout" else PATIENT)
    for round_ in range(2 if error_class == "timeout" else 8):
        model.will(behave(WHOLE[: draw.randint(earliest, latest)]))
        said, error = outcome(responder)
        may_spoil_a_line = fault not in ("closed", "reset", "ended early", "silence")
        assert error.error_class in {error_class, "upstream" if may_spoil_a_line else error_class}
        assert isinstance(error, ModelTimeoutError) == (error.error_class == "timeout")
        assert said
        assert ANSWER.startswith(said)
        assert len(model.requests) == round_ + 1


@pytest.mark.parametrize(
    "fault",
    [
        *(refuse(503), refuse(500), refuse(429), broken_off(), broken_off(reset=True), raw()),
        *(stream_error(), garbage(), huge_line(), raw(b'{"detail": "no choices"}')),
    ],
)
def test_a_fault_before_the_first_token_is_tried_again(model, make, fault):
    model.will(fault, text(ANSWER))
    assert outcome(make()) == (ANSWER, Finish("stop", MODEL))
    assert len(model.requests) == 2


STATUSES = {401: "unauthorized", 403: "unauthorized", 404: "bad_request", 302: "bad_request"}
STATUSES |= {400: "bad_request", 429: "rate_limited", 500: "upstream", 529: "upstream"}


@pytest.mark.parametrize("status", STATUSES)
def test_statuses_become_error_classes_after_at_most_three_tries(model, make, status):
    model.will(*[refuse(status, Location="/v1/elsewhere", Set_Cookie="a=b")] * 4)
    said, error = outcome(make())
    assert (said, error.error_class) == ("", STATUSES[status])
    tries = 3 if status == 429 or status >= 500 else 2 if status == 400 else 1
    assert len(model.requests) == tries
    assert all("Cookie" not in request.headers for request in model.requests)


def test_a_connection_that_is_refused_is_an_error_of_its_own(make):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/v1"
    assert outcome(make(url=url))[1].error_class == "refused"


def seconds_of(responder):
    started = time.monotonic()
    said, end = outcome(responder)
    return said, end, time.monotonic() - started


@pytest.mark.parametrize(("after", "expected"), [("1", 1.0), ("in a minute", 1.5), ("soon", 0.2)])
def test_retry_after_is_honoured_within_limits(model, make, monkeypatch, after, expected):
    """The limit is five seconds; here less."""
    assert chat_model._MOST_RETRY_AFTER_SECONDS == 5.0
    monkeypatch.setattr(chat_model, "_MOST_RETRY_AFTER_SECONDS", 1.5)
    date = formatdate(time.time() + 60, usegmt=True)
    model.will(refuse(429, retry_after=date if after == "in a minute" else after))
    said, _, seconds = seconds_of(make())
    assert said == "Hello?"
    assert expected <= seconds < expected + 2


FALLS_SILENT = {
    "before the headers": ([hang()], ""),
    "before the first token": ([hang_after()], ""),
    "with comments": ([hang_after(comments=0.05)], ""),
    "after a refusal": ([refuse(503), hang()], ""),
    "between refusals": ([refuse(503, retry_after=5)], ""),
    "after some text": ([hang_after("Hel")], "Hel"),
    "after some text, with comments": ([hang_after("Hel", comments=0.05)], "Hel"),
}


@pytest.mark.parametrize("when", FALLS_SILENT)
def test_silence_is_borne_for_the_timeout_only(model, make, when):
    behaviours, expected = FALLS_SILENT[when]
    model.will(*behaviours)
    said, error, seconds = seconds_of(make(timeout=0.7))
    assert said == expected
    assert error.error_class == ("upstream" if when == "between refusals" else "timeout")
    assert seconds < 2.5
    assert len(model.requests) == len(behaviours)


def test_a_slow_reader_is_not_the_models_fault(model, make):
    model.will(text("Hello world", delay=0.02))
    answer = make(IMPATIENT).stream(prompt())
    said = [next(answer)]
    time.sleep(IMPATIENT * 2)
    assert text_of(said + list(answer)) == "Hello world"


@pytest.mark.parametrize("behaviour", [text("Hello " * 500, delay=0.02), hang_after("Hello")])
def test_closing_the_generator_closes_the_connection_at_once(model, make, behaviour):
    model.will(behaviour)
    answer = make().stream(prompt())
    next(answer)
    answer.close()
    assert model.saw_client_leave(within=2)


def test_connections_are_kept_for_the_next_question(model, make):
    responder = make()
    assert [outcome(responder)[0] for _ in range(5)] == ["Hello?"] * 5
    assert model.connections == 1


def test_many_threads_share_a_responder(model, make):
    responder = make()
    questions = [f"Question {n}: {ANSWER}" for n in range(32)]

    def ask(question):
        return text_of(responder.stream(prompt(question)))

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, questions)) == questions


UNDER_GEVENT = """
from gevent import monkey; monkey.patch_all()
import sys, time, gevent
from app.responders.base import Prompt, TextDelta
from app.responders.chat_model import ChatModel
from app.responders.openai import OpenAIResponder
from tests.fake_model import FakeModel, hang, text
with FakeModel(otherwise=text("hello", before=0.5)) as model:
    asked_over_http = ChatModel(model.url, None, "m", 5)
    responder = OpenAIResponder(asked_over_http)
    def ask():
        events = responder.stream(Prompt(question="?", user_email="a@b.c"))
        return "".join(event.text for event in events if isinstance(event, TextDelta))
    started = time.monotonic()
    asked = [gevent.spawn(ask) for _ in range(30)]
    gevent.joinall(asked, raise_error=True)
    assert [one.value for one in asked] == ["hello"] * 30
    assert time.monotonic() - started < 4
    model.will(hang())
    stopped = gevent.spawn(ask)
    gevent.sleep(0.2)
    stopped.kill()
    assert model.saw_client_leave(within=2)
    asked_over_http.close()
assert "openai" not in sys.modules
"""


def test_greenlets_wait_beside_each_other_and_can_be_stopped():
    subprocess.run([sys.executable, "-W", "error", "-c", UNDER_GEVENT], check=True, timeout=60)


@pytest.mark.parametrize(
    ("url", "key", "name", "faults"),
    [
        ("", None, "", {"OPENAI_BASE_URL", "OPENAI_MODEL"}),
        ("localhost:11434/v1", None, "m", {"OPENAI_BASE_URL"}),
        ("http:///v1", None, "m", {"OPENAI_BASE_URL"}),
        ("http://a..b/v1", None, "m", {"OPENAI_BASE_URL"}),
        ("http://h:99999/v1", None, "m", {"OPENAI_BASE_URL"}),
        ("http://ann:secret@h/v1", None, "m", {"OPENAI_BASE_URL"}),
        ("http://h\n/v1", "sk-1\n", "m", {"OPENAI_BASE_URL", "OPENAI_API_KEY"}),
    ],
)
def test_settings_that_can_not_work_are_named_at_once(url, key, name, faults):
    with pytest.raises(SettingsError) as caught:
        ChatModel(url, key, name)
    assert set(caught.value.faults) == faults
    assert "secret" not in str(caught.value)
