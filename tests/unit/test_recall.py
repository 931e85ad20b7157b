"""The responder for when no model is set up."""

import unicodedata
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.responders.base import Contexts, Finish, Prompt, TextDelta
from app.responders.recall import Passage, RecallResponder, excerpt

often = settings(max_examples=max(30, settings().max_examples))

CONVERSATION, MESSAGE = UUID(int=1), UUID(int=2)
SAID_AT = datetime(2026, 5, 3, 23, 30, tzinfo=UTC)
LOREM = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor. " * 8


def passage(content="Pho costs 60,000 dong.", *, title="Hanoi", role="user", rank=0.5):
    return Passage(CONVERSATION, MESSAGE, title, role, content, SAID_AT, rank)


def ask(*found, question="What does pho cost?"):
    responder = RecallResponder(lambda owner, question, limit: found[:limit])
    return list(responder.stream(Prompt(question=question, user_email="ann@example.com")))


def text_of(events):
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def test_only_the_owners_history_is_searched():
    calls = []
    responder = RecallResponder(lambda *call: calls.append(call) or [])
    list(responder.stream(Prompt(question="Where?", user_email="ann@example.com")))
    ((owner, question, limit),) = calls
    assert (owner, question) == ("ann@example.com", "Where?")
    assert limit >= 3


def test_passages_are_quoted_with_their_title_and_date():
    assert text_of(ask(passage(), passage("It is 2 euros.", title=None, role="assistant"))) == (
        "No language model is set up here, so these are the passages of your own history that fit "
        "best.\n\n"
        "**Hanoi**, 2026-05-03, you wrote:\n> Pho costs 60,000 dong.\n\n"
        "**Untitled conversation**, 2026-05-03, the answer was:\n> It is 2 euros."
    )


def test_the_passages_come_as_contexts_before_the_text():
    events = ask(passage())
    assert events[0] == Contexts(
        [
            {
                "source": "history",
                "conversation_id": str(CONVERSATION),
                "message_id": str(MESSAGE),
                "title": "Hanoi",
                "role": "user",
                "text": "Pho costs 60,000 dong.",
                "created_at": "2026-05-03T23:30:00.000Z",
                "score": 0.5,
            }
        ]
    )
    assert events[-1] == Finish("stop", model="recall")
    assert len(events) > 10
    assert all(isinstance(event, TextDelta) for event in events[1:-1])


def test_at_most_three_passages_are_quoted_best_first():
    found = [passage(f"Pho number {n}.") for n in range(9)]
    quoted = [line for line in text_of(ask(*found)).splitlines() if line.startswith(">")]
    assert quoted == ["> Pho number 0.", "> Pho number 1.", "> Pho number 2."]


def test_the_question_and_earlier_answers_without_a_model_are_not_quoted():
    earlier = passage(text_of(ask(passage())), role="assistant")
    events = ask(passage("What does pho cost?\n"), earlier, passage("Sixty."))
    assert [context["text"] for context in events[0].items] == ["Sixty."]


def test_without_passages_it_says_what_to_set_up():
    events = ask()
    said = text_of(events)
    assert said.startswith("No language model is set up here")
    assert all(name in said for name in ("RESPONDER=openai", "OPENAI_BASE_URL", "OPENAI_MODEL"))
    assert not any(isinstance(event, Contexts) for event in events)
    assert events[-1] == Finish("stop", model="recall")


def test_titles_and_passages_stay_on_one_line():
    said = text_of(ask(passage("a\n\n> b\tc", title="one\n# two")))
    assert "**one # two**" in said
    assert said.endswith("> a > b c")


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("What does pho cost?", "In Hanoi a bowl of pho costs 60,000 dong."),
        ("PHỞ giá bao nhiêu", "một bát phở giá sáu mươi nghìn đồng"),
        ("pho gia bao nhieu", "một bát phở giá sáu mươi nghìn đồng"),
        ("ما سعر الحساء", "سعر الحساء ستون ألف دونغ"),
        ("सूप कितने का है", "सूप साठ हज़ार का है"),
    ],
)
@pytest.mark.parametrize("before", [0, 1, 20])
def test_an_excerpt_is_cut_at_words_around_what_was_asked(question, answer, before):
    text = f"{LOREM * before}{answer} {LOREM}"
    cut = excerpt(text, question)
    assert answer in cut
    assert 200 < len(cut) <= 300
    assert set(cut.strip("…").split()) <= set(text.split())
    assert cut.startswith("…") == (before > 0)
    assert cut.endswith("…")


@pytest.mark.parametrize(
    "answer", ["一碗河粉六万盾。", "フォーは六万ドンです。", "เฝอชามละหกหมื่นดอง"]
)
def test_writing_without_spaces_is_cut_between_characters(answer):
    text = answer * 60
    cut = excerpt(text, answer[:4])
    assert 200 < len(cut) <= 300
    assert cut.strip("…") in text
    assert unicodedata.category(cut.strip("…")[0])[0] != "M"


@pytest.mark.parametrize("shift", range(4))
def test_emoji_of_several_characters_stay_whole(shift):
    cut = excerpt("👩🏽‍🚀" * 200 + "a" * shift + "河粉", "河粉").strip("…").rstrip("a河粉")
    assert len(cut) > 200
    assert cut == "👩🏽‍🚀" * (len(cut) // len("👩🏽‍🚀"))


@often
@given(st.text(max_size=200), st.text(max_size=20), st.integers(20, 60))
@example("e" + "\u0301" * 600, "?", 300)
@example("\u200d" * 600, "?", 20)
def test_an_excerpt_is_a_part_of_the_text_within_the_limit(text, question, limit):
    line = " ".join(text.split())
    cut = excerpt(text, question, limit=limit)
    assert len(cut) <= limit
    assert cut.removeprefix("…").removesuffix("…").strip() in line
    assert cut == line or len(line) > limit
