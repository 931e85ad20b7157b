"""Searching as a client does: what is found, in what order, and what is shown of it."""

import re
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.clock import now, parse, timestamp
from app.cursors import encode_cursor
from tests.client import Client
from tests.driver import statements_of
from tests.evidence import assert_problem, pointers

NOT_SHOWN = "UPDATE messages SET is_active = false WHERE content = :content"


@pytest.fixture(scope="module")
def person(app):
    return Client(app, f"{uuid4().hex}@example.com")


def search(client, q, **query):
    answer = client.get("/search", query_string={"q": q, **query})
    assert answer.status_code == 200, answer.text
    return answer.json["results"]


def found(client, q, **query):
    """The titles' and messages' texts, as far as they are shown."""
    return [re.sub("</?mark>", "", hit["snippet"]) for hit in search(client, q, **query)]


def create_named(client, client_id, *said, **fields):
    """A new conversation by an id of the client's own."""
    roles = ("user", "assistant")
    messages = [
        {"role": roles[n % 2], "content": text, "client_message_id": f"m-{n}"}
        for n, text in enumerate(said)
    ]
    return client.create(client_id=client_id, messages=messages, **fields)


def test_a_message_is_found_as_soon_as_it_is_stored(client):
    made = client.create("Where do pelicans nest?", title="Birds")
    (hit,) = search(client, "PELICANS")
    (message,) = made["messages"]
    assert hit.pop("rank") > 0
    assert hit == {
        "kind": "message",
        "conversation_id": made["id"],
        "title": "Birds",
        "message_id": message["id"],
        "role": "user",
        "is_active": True,
        "snippet": "Where do <mark>pelicans</mark> nest?",
        "created_at": message["created_at"],
    }
    client.say(made["id"], "And flamingos?")
    assert found(client, "flamingos") == ["And flamingos?"]


def test_a_title_is_found_and_stands_above_a_message_that_says_the_same(client):
    quiet = client.create(title="Pelican nests")
    client.create("Pelican nests", title="Other")
    title, message = search(client, "pelican")
    assert (title["kind"], message["kind"]) == ("title", "message")
    assert title["rank"] == pytest.approx(2 * message["rank"])
    assert (title["conversation_id"], title["message_id"]) == (quiet["id"], None)
    assert (title["role"], title["is_active"]) == (None, True)
    assert title["snippet"] == "<mark>Pelican</mark> nests"
    client.patch(f"/conversations/{quiet['id']}", json={"title": "Storks"})
    assert [hit["kind"] for hit in search(client, "pelican")] == ["message"]


QUERIES = {
    "tea": {"green tea", "tea and coffee", "black coffee, no tea at all"},
    "TÉA coffee": {"tea and coffee", "black coffee, no tea at all"},
    '"black coffee"': {"black coffee, no tea at all"},
    '"coffee black"': set(),
    '"green coffee" OR "green tea"': {"green tea"},
    "green OR black tea": {"green tea", "black coffee, no tea at all"},
    "tea -coffee": {"green tea"},
    'tea -"black coffee"': {"green tea", "tea and coffee"},
    "cof*": {"tea and coffee", "black coffee, no tea at all"},
    "cof": set(),
    "duong pho": {"Đường phố Hà Nội"},
    "ĐƯỜNG PHỐ": {"Đường phố Hà Nội"},
    "天安": {"我爱北京天安门"},
    "北京门": set(),
    "爱*": {"我爱北京天安门"},
    "หนู": {"ฉันเป็นหนูน้อย"},
    "-tea": set(),
    "'; \\ : * & | ! < > ( )": set(),
    "": set(),
}


def test_each_form_of_a_query_finds_what_it_says(person):
    said = set().union(*QUERIES.values())
    person.create(*said, title="Drinks")
    for query, expected in QUERIES.items():
        assert set(found(person, query)) == expected, query


def test_a_search_is_narrowed_by_what_it_names(client):
    old = create_named(client, "old-chat", "tea please", "tea it is", tags=["drinks"], title="Old")
    new = client.create("more tea", title="tea time")
    sent = parse(new["messages"][0]["created_at"])
    everything = {"tea please", "tea it is", "more tea", "tea time"}
    before, after = timestamp(sent - timedelta(hours=1)), timestamp(sent + timedelta(hours=1))
    for query, expected in (
        ({}, everything),
        ({"conversation": old["id"]}, {"tea please", "tea it is"}),
        ({"conversation": "old-chat"}, {"tea please", "tea it is"}),
        ({"conversation": new["id"], "role": "user"}, {"more tea"}),
        ({"conversation": str(uuid4())}, set()),
        ({"conversation": "no-such-chat"}, set()),
        ({"role": "assistant"}, {"tea it is"}),
        ({"role": "tool"}, set()),
        ({"tag": "drinks"}, {"tea please", "tea it is"}),
        ({"tag": "drink"}, set()),
        ({"from": before, "to": after}, everything),
        ({"from": after}, set()),
        ({"to": before}, set()),
        ({"from": timestamp(sent), "conversation": new["id"], "role": "user"}, {"more tea"}),
        ({"to": timestamp(sent), "conversation": new["id"], "role": "user"}, set()),
        ({"from": before[:10], "to": after[:10]}, everything),
        ({"from": "2001-01-01", "to": "2001-12-31T23:59:59+07:00"}, set()),
    ):
        assert set(found(client, "tea", **query)) == expected, query


def test_what_is_archived_or_in_another_branch_is_found_and_what_is_in_the_trash_is_not(
    client, rows
):
    made = client.create("tea please", "which tea?", title="tea time")
    rows.run(NOT_SHOWN, content="which tea?")
    rows.run("UPDATE conversations SET is_archived = true WHERE id = :id", id=made["id"])
    hits = {hit["snippet"]: hit["is_active"] for hit in search(client, "tea")}
    assert hits == {
        "<mark>tea</mark> please": True,
        "which <mark>tea</mark>?": False,
        "<mark>tea</mark> time": True,
    }
    client.delete(f"/conversations/{made['id']}")
    assert search(client, "tea") == []


def test_what_is_being_written_or_not_published_yet_is_not_found(client, rows):
    made = client.create("tea please", "which tea?", title="tea time")
    rows.run(
        "UPDATE messages SET status = 'streaming' WHERE content = 'which tea?' AND user_email = :e",
        e=client.email,
    )
    assert set(found(client, "tea")) == {"tea please", "tea time"}
    rows.run("UPDATE conversations SET is_published = false WHERE id = :id", id=made["id"])
    assert search(client, "tea") == []


def test_nobody_finds_what_is_somebody_elses(client, stranger):
    made = create_named(client, "chat", "tea please", title="tea time", tags=["drinks"])
    create_named(stranger, "chat", "tea for me", title="Mine")
    for query in ({}, {"conversation": made["id"]}, {"conversation": "chat"}, {"tag": "drinks"}):
        assert set(found(stranger, "tea", **query)) <= {"tea for me"}
    assert found(stranger, f"{client.email} OR '@{client.email}' OR \"@{client.email}\"") == []
    assert found(stranger, "@*") == []


def test_pages_hold_each_result_once_best_first_while_others_come(client):
    texts = ["tea" + " and so on" * n for n in range(6)]
    made = client.create(*texts, *texts, *texts, title="Drinks")
    whole = search(client, "tea", limit=100)
    ranks = [(hit["rank"], hit["created_at"], hit["message_id"]) for hit in whole]
    assert len(whole) == 18
    assert ranks == sorted(ranks, reverse=True)
    paged, address = [], "/search?q=tea&limit=5&role=user"
    while address:
        answer = client.get(address)
        assert len(answer.json["results"]) <= 5
        paged += answer.json["results"]
        link = answer.headers.get("Link", "")
        address = "/search" + link[1:].partition(">")[0] if link else None
        assert bool(link) == (answer.json["next_cursor"] is not None)
        client.say(made["id"], "tea " * 30)
    assert paged == [hit for hit in whole if hit["role"] == "user"]


def test_a_search_is_one_statement(client, database):
    made = client.create("tea please", "which tea?")
    with statements_of(database) as statements:
        assert len(search(client, "tea", conversation=made["id"], role="user")) == 1
    assert len(statements) == 1


def test_what_is_shown_can_be_put_into_a_page(client):
    client.create("<script>alert('tea')</script> & tea", title="<b>tea</b>")
    title, message = search(client, "tea")
    assert title["snippet"] == "&lt;b&gt;<mark>tea</mark>&lt;/b&gt;"
    assert "<script" not in message["snippet"]
    assert message["snippet"].startswith("&lt;script&gt;alert(&#x27;<mark>tea</mark>&#x27;)")
    assert title["title"] == "<b>tea</b>"


# What PostgreSQL can't hold as a rank.
NO_RANKS = [
    encode_cursor(rank, "2026-01-01T00:00:00.000Z", UUID(int=0)) for rank in (1e300, 1e-300)
]

WRONG = {
    "/q": [{"q": None}, {"q": "x" * 1001}],
    "/limit": [{"limit": 0}, {"limit": 101}, {"limit": "x"}],
    "/cursor": [
        {"cursor": value}
        for value in ("x" * 201, "", "x", "e30", "bnVsbA", "WzEsMiwzXQ", *NO_RANKS)
    ],
    "/role": [{"role": "robot"}, {"role": ""}],
    "/tag": [{"tag": ""}, {"tag": "x" * 101}, {"tag": "a\0b"}],
    "/conversation": [{"conversation": value} for value in ("", "x" * 65, "a/b", "a\0b")],
    "/from": [{"from": value} for value in ("", "today", "2026-13-01", "2026-01-01T00:00:00")],
    "/to": [{"to": value} for value in ("2026-02-30", "1", "2026-01-01T25:00:00Z", "a\0b")],
    "/offset": [{"offset": 1}],
}


def test_a_wrong_value_is_refused_and_named(person):
    for pointer, queries in WRONG.items():
        for query in queries:
            given = {
                name: value for name, value in ({"q": "tea"} | query).items() if value is not None
            }
            problem = assert_problem(
                person.get("/search", query_string=given), 422, "invalid_fields"
            )
            assert pointers(problem) == {pointer}, query


def test_special_characters_and_the_longest_query_are_no_error(person):
    odd = "'\\:*&|!<>()\"-@\0%_ \u202e\U0010ffff\ufdd0🎉\u0301"
    for query in (odd, *odd, odd * 20, "a " * 500, "-" * 1000, '"' * 999, "OR " * 333, "中" * 1000):
        search(person, query)


def test_five_megabytes_are_stored_whole_and_found_by_their_first_words(make_app, email):
    client = Client(make_app(max_message_bytes=6_000_000), email)
    text = "Zanzibar cloves smell. " + "It went on and on for days. " * 200_000
    assert len(text) > 5_000_000
    made = client.create(text, title="Spices")
    started = now()
    (hit,) = search(client, "zanzibar cloves")
    assert now() - started < timedelta(seconds=1)
    assert hit["snippet"].startswith("<mark>Zanzibar</mark> <mark>cloves</mark> smell. It went on")
    assert len(hit["snippet"]) < 300
    assert client.messages(made["id"])[0]["content"] == text


def test_a_phrase_deep_in_a_long_message_or_of_very_frequent_words_is_found(client):
    deep = "one two " * 9000 + "the final countdown"
    frequent = "on the way " * 300 + "over the hill"
    client.create(deep, frequent, "countdown to the final", "hill, over")
    assert len(search(client, '"final countdown"')) == 1
    assert search(client, '"final countdown"')[0]["snippet"].startswith("one two")
    assert len(search(client, '"over the hill"')) == 1
    assert found(client, '"countdown to"') == ["countdown to the final"]
