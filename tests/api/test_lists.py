"""Lists as people use them: narrowed, ordered, and walked through while things change."""

import base64
import json
import os
import random
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.client import Client
from tests.evidence import assert_problem, pointers

TITLES = (
    "Chuyến đi Huế", "Hue in the rain", "北京的天气", "ร้านกาแฟ", "Crème brûlée", "tea's -time!",
)  # fmt: skip


def titles(client, query=""):
    answer = client.get(f"/conversations?{query}")
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json["conversations"]]


def change(client, conversation, **fields):
    answer = client.patch(f"/conversations/{conversation['id']}", json=fields)
    assert answer.status_code == 200, answer.text


def walk(client, query="", *, meanwhile=lambda: None):
    """The ids of all pages, and what happens between them."""
    cursor, seen = "", []
    while True:
        page = client.get(f"/conversations?{query}{cursor}").json
        seen += [item["id"] for item in page["conversations"]]
        if page["next_cursor"] is None:
            return seen
        cursor = f"&cursor={page['next_cursor']}"
        meanwhile()


def stir(dice, client, conversation_id):
    """Changes a conversation in some way that a list notices."""
    address = f"/conversations/{conversation_id}"
    fields = ({"is_pinned": True}, {"is_pinned": False}, {"is_archived": True}, {"tags": []})
    what = dice.choice(["say", "trash", "restore", *fields])
    if what == "say":
        client.say(conversation_id, "And?")
    elif what == "trash":
        client.delete(address)
    elif what == "restore":
        client.post(f"{address}/restore")
    else:
        client.patch(address, json=what)


@pytest.fixture
def several(client):
    """One of each kind, by its title, oldest first."""
    made = {
        "plain": client.create(title="plain", tags=["a"], mode="fast"),
        "pinned": client.create(title="pinned", tags=["a", "b"], mode="quality"),
        "archived": client.create(title="archived", tags=["a"]),
        "both": client.create(title="both"),
        "trashed": client.create(title="trashed", tags=["a"]),
        "newest": client.create(title="newest", mode="fast"),
    }
    change(client, made["pinned"], is_pinned=True)
    change(client, made["archived"], is_archived=True)
    change(client, made["both"], is_archived=True, is_pinned=True)
    client.delete(f"/conversations/{made['trashed']['id']}")
    return made


def test_filters_narrow_a_list_and_combine(client, several):
    for query, expected in {
        "": "newest pinned plain",
        "archived=false": "newest pinned plain",
        "archived=true": "both archived",
        "pinned=true": "pinned",
        "pinned=false": "newest plain",
        "archived=true&pinned=true": "both",
        "tag=a": "pinned plain",
        "tag=b": "pinned",
        "tag=A": "",
        "mode=fast": "newest plain",
        "mode=fast&tag=a": "plain",
        "q=pl": "plain",
        "q=PLAIN&mode=fast": "plain",
        "q=plain&mode=quality": "",
        "q=": "",
        "q=!!!": "",
        "trashed=true": "trashed",
        "trashed=true&tag=a": "trashed",
        "trashed=true&archived=true": "",
        "trashed=false": "newest pinned plain",
        "pinned_first=true": "pinned newest plain",
        "pinned_first=true&archived=true": "both archived",
        "pinned_first=true&pinned=false": "newest plain",
        "pinned_first=true&tag=a": "pinned plain",
    }.items():
        assert titles(client, query) == expected.split(), query


def test_titles_are_found_in_any_script_and_the_last_word_may_be_begun(client):
    for title in TITLES:
        client.create(title=title)
    for asked, expected in {
        "hue": ["Hue in the rain", "Chuyến đi Huế"],
        "HUẾ chuy": ["Chuyến đi Huế"],
        "di": ["Chuyến đi Huế"],
        "ra": ["Hue in the rain"],
        "rain hu": ["Hue in the rain"],
        "天气": ["北京的天气"],
        "กาแ": ["ร้านกาแฟ"],
        "BRULEE": ["Crème brûlée"],
        "crem": ["Crème brûlée"],
        "rem": [],
        "time tea": ["tea's -time!"],
        "hue -rain": ["Chuyến đi Huế"],
    }.items():
        assert titles(client, f"q={quote(asked)}") == expected, asked


@given(st.text(max_size=80))
def test_no_text_is_an_error(person, asked):
    assert isinstance(titles(person, f"q={quote(asked, errors='replace')}"), list)


def test_moments_bound_the_last_activity(client, rows):
    day = datetime(2026, 3, 10, tzinfo=UTC)
    for title, hours in (("before", -0.001), ("first", 0), ("noon", 12), ("next", 24)):
        made = client.create(title=title)
        rows.run(
            "UPDATE conversations SET updated_at = :at WHERE id = :id",
            at=day + timedelta(hours=hours),
            id=made["id"],
        )
    for query, expected in {
        "from=2026-03-10": "next noon first",
        "from=2026-03-10T00:00:00Z&to=2026-03-11T00:00:00Z": "noon first",
        "from=2026-03-10&to=2026-03-10": "noon first",
        "to=2026-03-10T00:00:00.000Z": "before",
        "from=2026-03-10T13:00:00%2B01:00": "next noon",
        "from=2026-03-12&to=2026-03-01": "",
    }.items():
        assert titles(client, query) == expected.split(), query


def test_a_list_of_the_trash_begins_with_what_came_there_last(client):
    made = [client.create(title=title) for title in "abc"]
    for n in (1, 0, 2):
        client.delete(f"/conversations/{made[n]['id']}")
    page = client.get("/conversations?trashed=true&limit=2").json
    assert [item["title"] for item in page["conversations"]] == ["c", "a"]
    assert all(item["deleted_at"] for item in page["conversations"])
    rest = client.get(f"/conversations?trashed=true&cursor={page['next_cursor']}").json
    assert [item["title"] for item in rest["conversations"]] == ["b"]


def test_a_cursor_is_good_for_lists_in_its_own_order_only(client, several):
    client.delete(f"/conversations/{several['plain']['id']}")
    client.create(title="last")
    kinds = ("", "&pinned_first=true", "&trashed=true")
    for kind in kinds:
        cursor = client.get(f"/conversations?limit=1{kind}").json["next_cursor"]
        for other in kinds:
            answer = client.get(f"/conversations?cursor={cursor}{other}")
            if other == kind:
                assert answer.status_code == 200
            else:
                assert pointers(assert_problem(answer, 422)) == {"/cursor"}
    padded = cursor + "=" * (-len(cursor) % 4)
    assert json.loads(base64.urlsafe_b64decode(padded))[0] == "trash"


@pytest.mark.parametrize("query", ["", "pinned_first=true", "tag=t", "archived=true"])
def test_what_does_not_change_is_seen_once_while_the_rest_does(app, email, rows, query):
    seed = int(os.environ.get("LISTS_SEED", random.randrange(2**32)))
    print("seed", seed)
    dice, client = random.Random(seed), Client(app, email)
    made = [client.create(tags=["t"])["id"] for _ in range(30)]
    archive = "archived=true" in query
    update = """UPDATE conversations SET is_pinned = :pinned, is_archived = :archived,
        updated_at = date_trunc('hour', now()) + :n * interval '1 ms' WHERE id = :id"""
    for conversation_id in made:
        # Few moments for many conversations: ids must decide.
        values = {"pinned": dice.random() < 0.3, "archived": archive, "n": dice.randrange(5)}
        rows.run(update, id=conversation_id, **values)
    restless = set(dice.sample(made, 12))

    def meanwhile():
        for conversation_id in dice.sample(sorted(restless), 3):
            stir(dice, client, conversation_id)
        client.create(tags=["t"])

    expected = [each for each in walk(client, f"limit=100&{query}") if each not in restless]
    assert sorted(expected) == sorted(set(made) - restless)
    seen = walk(client, f"limit=4&{query}", meanwhile=meanwhile)
    assert [each for each in seen if each in set(expected)] == expected
