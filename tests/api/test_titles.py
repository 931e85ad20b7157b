"""What conversations are called: by their first question, their responder, or their owner."""

import pytest

from tests.client import Client
from tests.streams import until


class Naming:
    """A responder that names conversations; `title` may also fail."""

    def __init__(self, title="**A better** title\nand more"):
        self.heard = []
        self._title = title

    def stream(self, prompt):
        from app import TextDelta

        yield TextDelta("Because.")

    def title(self, prompt, answer):
        self.heard.append((prompt.question, answer))
        if isinstance(self._title, Exception):
            raise self._title
        return self._title


@pytest.fixture
def named(make_app, email):
    """Asks with a responder that names conversations: the client and that responder."""

    def make(*title):
        naming = Naming(*title)
        return Client(make_app(naming), email), naming

    return make


def record(client, conversation_id):
    return client.get(f"/conversations/{conversation_id}").json


def test_a_responder_names_a_conversation_after_its_first_answer(named):
    client, naming = named()
    asked = client.ask("Why is the sky blue?").json
    conversation_id = asked["conversation_id"]
    until(lambda: record(client, conversation_id)["title"] == "A better title")
    named_now = record(client, conversation_id)
    assert named_now["title_source"] == "auto"
    assert named_now["revision"] == asked["revision"] + 1
    client.ask("And red?", conversation_id=conversation_id)
    assert naming.heard == [("Why is the sky blue?", "Because.")]


def test_a_title_that_its_owner_chose_stays(named):
    client, naming = named()
    made = client.create(title="Mine")
    client.ask("Why?", conversation_id=made["id"])
    until(lambda: naming.heard)
    assert record(client, made["id"])["title"] == "Mine"


@pytest.mark.parametrize("title", [None, "", "\n", "***", 7, RuntimeError("said too much")])
def test_without_a_better_title_the_first_one_stays(named, title, settings):
    client, naming = named(title)
    asked = client.ask("Why?").json
    until(lambda: naming.heard)
    assert record(client, asked["conversation_id"])["title"] == "Why?"


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("# Huế\nWhat should I see?", "Huế"),
        ("```python\nprint(1)\n```\nWhat is this?", "print(1)"),
        ("> quoted\n\nand asked", "quoted"),
        ("北京有什么好玩的地方？", "北京有什么好玩的地方？"),
        ("ควรไปเที่ยวที่ไหนดีในกรุงเทพมหานครและเชียงใหม่และภูเก็ตดี", None),
        ("أين تقع مدينة هوي؟", "أين تقع مدينة هوي؟"),
        ("👩‍👩‍👧‍👦 family " * 9, None),
    ],
)
def test_a_title_is_made_of_the_first_question_in_any_script(client, said, title):
    made = client.create(said)["title"]
    assert len(made) <= 50
    if title:
        assert made == title
