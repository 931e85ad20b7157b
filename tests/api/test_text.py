"""Any text of Unicode scalar values but NUL reads as it was sent, wherever it is read; whatever
else is sent as text is refused by the name of its place, and nothing of it is stored."""

import json
import sys
from urllib.parse import quote
from uuid import uuid4

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from app import Parley
from app.search_words import any_of
from tests.client import Client
from tests.evidence import assert_problem, pointers
from tests.streams import frames, text_of

from .routes import AGENT, CHATBOT, MESSAGES, ONE, RAG, RAG_ONE, STOP

pytestmark = pytest.mark.usefixtures("unmeasured")

SCALARS = [chr(n) for n in range(1, sys.maxunicode + 1) if not 0xD800 <= n < 0xE000]
UNPRINTABLE = (
    *map(chr, range(0x20)), *map(chr, range(0x7F, 0xA0)), *map(chr, range(0x2028, 0x202F)),
    *map(chr, range(0x2066, 0x206A)), "\u061c", "\u200b", "\u200e", "\u200f", "\ufeff",
)  # fmt: skip
ODD = (
    "\ufffe\uffff\U0010ffff\ufdd0", "e\u0301\u0323 \u1ec7 \u212a ſß İı", "\u202eabc\u202c \u200f",
    "👩🏽\u200d🚀🏳\ufe0f\u200d🌈🇻🇳", "مرحبا بالعالم", "\x01\x1b[2J\x7f\x85\u2028\u2029",
    "\r\n\t\v\f x \r", '"\\/\b</script>', "\ufeff{}\\u0000 %00 %s %(x)s :x $1", "' OR 1=1; --",
    "__CONTEXT__:[]", "\n\ndata: x\n\n",
)  # fmt: skip
texts = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1),
    st.builds("".join, st.lists(st.sampled_from(SCALARS), min_size=1, max_size=2000)),
)
said = texts.map(lambda text: text if text.strip() else f"{text}.")
ids = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters=UNPRINTABLE),
    min_size=1,
    max_size=64,
)
addressable = ids.map(lambda text: f".{text[:62]}.".replace("/", "."))
names = texts.map(lambda text: text[:200])
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=3)),
)
details = st.dictionaries(names, values, max_size=5).filter(
    lambda value: len(json.dumps(value)) < 65_000
)
conversations = st.fixed_dictionaries(
    {
        "title": said.map(lambda text: f"{text[:499]}."),
        "system_prompt": said,
        "tags": st.lists(texts.map(lambda text: text[:100]), max_size=5),
        "metadata": details,
    }
)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]),
        "content": said,
        "client_message_id": ids,
        "model": texts.map(lambda text: text[:200]),
        "parts": st.lists(details, min_size=1, max_size=3),
        "metadata": details,
    }
)
batches = st.lists(
    messages, min_size=1, max_size=5, unique_by=lambda message: message["client_message_id"]
)
BIGGEST = ["x" * 999_999, "é" * 500_000, "👍" * 250_000, '"\\' * 500_000, "\x01" * 250_000]
EVERY_SCALAR = [
    "".join(SCALARS[start : start + 250_000]) for start in range(0, len(SCALARS), 250_000)
]


@pytest.fixture(scope="module")
def echo(app, settings):
    """An application that answers with the question, and all that it was asked."""
    asked = []

    def answer(prompt):
        asked.append(prompt)
        yield prompt.question

    parley = Parley(answer, settings=settings)
    yield Client(parley.application(), f"{uuid4().hex}@example.com"), asked
    parley.close()


@pytest.fixture(scope="module")
def person(echo):
    return echo[0]


@pytest.fixture(scope="module")
def forget(settings):
    """Empties the cache."""
    with redis.Redis.from_url(settings.redis_url) as client:
        yield client.flushdb


def read_everywhere(person, forget, made):
    """A conversation read cold, then warm, then page by page: each must show what was made."""
    address = f"/conversations/{made['id']}"
    counts = person.app.extensions["parley"].redis.counts
    forget()
    before = counts.snapshot()["read", "hit"]
    cold, warm = person.get(address).json, person.get(address).json
    assert counts.snapshot()["read", "hit"] == before + 1
    assert cold == made
    assert warm == made
    assert person.get(f"{address}/messages").json["messages"] == made["messages"]
    listed = person.get("/conversations?limit=1").json["conversations"][0]
    assert listed == {name: made[name] for name in listed}


@given(conversations, batches, addressable)
def test_whatever_is_sent_reads_as_it_was_sent(person, forget, record, batch, client_id):
    client_id = f"{uuid4().hex[:8]}{client_id}"[:64]
    made = person.create(**record, messages=batch, client_id=client_id)
    assert {name: made[name] for name in record} == record
    assert [{name: shown[name] for name in batch[0]} for shown in made["messages"]] == batch
    read_everywhere(person, forget, made)
    assert person.get(f"/conversations/{quote(client_id, safe='')}").json == made
    changes = {name: record[name] for name in ("title", "tags", "metadata")}
    changed = person.patch(f"/conversations/{made['id']}", json=changes).json
    assert {name: changed[name] for name in changes} == changes


@given(said, said, ids, st.lists(details, max_size=2))
def test_whatever_is_asked_is_answered_and_answered_again(
    echo, forget, text, prompt, sent, filters
):
    person, asked = echo
    made = person.create(text, system_prompt=prompt)
    question = {"conversation_id": made["id"], "client_message_id": sent, "filters": filters}
    live = person.ask(text, "sse", **question)
    assert text_of(frames(live.response)) == text
    assert (asked[-1].question, asked[-1].system_prompt) == (text, prompt)
    assert (asked[-1].filters, asked[-1].history.turns[-1].content) == (filters, text)
    assert text_of(frames(person.ask(text, "sse", **question).response)) == text
    assert person.ask(text, "text", **question).text == text
    read_everywhere(person, forget, person.get(f"/conversations/{made['id']}").json)
    assert [message["content"] for message in person.messages(made["id"])] == [text] * 3
    search = person.app.extensions["parley"].services.search
    found = search.passages(person.email, f"{text}\n", limit=100_000)
    assert text in [passage.content for passage in found] or not any_of(text)


@pytest.mark.parametrize(
    "said", [BIGGEST, EVERY_SCALAR, list(ODD)], ids=["biggest", "every scalar", "odd"]
)
def test_big_and_odd_texts_read_as_they_were_sent(person, forget, said):
    sent = [{"role": "user", "content": text} for text in said]
    body = json.dumps({"messages": sent}, ensure_ascii=False).encode()
    made = person.post("/conversations", data=body, content_type="application/json").json
    assert [message["content"] for message in made["messages"]] == said
    read_everywhere(person, forget, made)
    wire = person.ask(said[0], "sse")
    assert text_of(frames(wire.response)) == said[0]


IN_PARTS = ("parts/0/text", "parts/0/a~1~0b/0")
MESSAGE = ("content", "client_message_id", "model", "metadata/ü", *IN_PARTS)
FIELDS = {
    ("POST", "/conversations"): [
        *("title", "system_prompt", "client_id", "model", "tags/0", "metadata/a/0/b"),
        *(f"messages/0/{name}" for name in MESSAGE),
    ],
    ("POST", "/conversations/bulk"): ["ids/0", "tags/0", "filter/q", "filter/tag"],
    ("PATCH", ONE): ["title", "tags/0", "metadata/ü"],
    ("POST", MESSAGES): [f"messages/0/{name}" for name in MESSAGE],
    ("POST", "/chat"): [
        *("message", "client_message_id", "conversation_id", "model", "filters/0/a"),
        *("messages/0/content", "messages/0/id", "messages/0/parts/0/text", "id", "messageId"),
    ],
    ("POST", STOP): ["message_id"],
    ("POST", AGENT): ["message", "filters/0/a"],
    ("POST", f"{RAG}/send"): ["message", "session_id"],
    ("POST", f"{RAG_ONE}/messages"): ["message", "metadata/ü"],
    ("POST", f"{CHATBOT}/chat"): [
        *("message", "model", "context", "tools/0", "memory_ids/0", "history/0/user"),
    ],
    ("POST", f"{CHATBOT}/delete-conversation"): ["conversation_id"],
}
NO_TEXT = {
    "NUL": rb'"a\u0000b"',
    "a high surrogate": rb'"a\ud83d"',
    "a low surrogate": rb'"\udc00b"',
    "surrogates swapped": rb'"\udc00\ud800"',
    "a surrogate in bytes": b'"\xed\xa0\x80"',
    "a byte that begins nothing": b'"a\xff"',
    "a character that is cut": b'"\xf0\x9f\x98"',
    "an overlong character": b'"\xc0\xaf"',
    "a character beyond Unicode": b'"\xf4\x90\x80\x80"',
    "NUL in a name": rb'{"a\u0000b": 1}',
    "half a pair in a name": rb'{"\ud800": 1}',
    "65 levels": b"[" * 65 + b"1" + b"]" * 65,
    "a long integer": b"18446744073709551616",
}


@pytest.fixture(scope="module")
def home(person):
    return person.create("Hello")["id"]


@pytest.mark.parametrize(
    ("method", "path"), FIELDS, ids=[" ".join(endpoint) for endpoint in FIELDS]
)
def test_what_is_no_text_is_refused_by_its_place(person, rows, home, method, path):
    before = rows.of(person.email)
    address = path.replace("{conversation_id}", home)
    for pointer in FIELDS[method, path]:
        for what, literal in NO_TEXT.items():
            answer = person.open(
                address, method=method, data=body(pointer, literal), content_type="application/json"
            )
            detail = assert_problem(answer, 400, "malformed")["detail"]
            end = "/0/0/" if what == "65 levels" else " "
            assert detail.startswith(f"/{pointer}{end}"), (pointer, what, detail)
    assert rows.of(person.email) == before


def test_a_name_is_escaped_where_a_pointer_names_it(person):
    answer = person.post("/conversations", json={"a/b~c~1": 1, "messages": [{"/": 1}]})
    named = pointers(assert_problem(answer, 422, "invalid_fields"))
    assert named == {"/a~1b~0c~01", *(f"/messages/0/{name}" for name in ("~1", "role", "content"))}


def body(pointer, literal):
    """JSON that has `literal` where `pointer` points to, and nothing else."""
    for name in reversed(pointer.split("/")):
        plain = json.dumps(name.replace("~1", "/").replace("~0", "~")).encode()
        literal = b"[%b]" % literal if name == "0" else b"{%b: %b}" % (plain, literal)
    return literal
