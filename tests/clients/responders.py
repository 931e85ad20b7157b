"""What the served Parley answers to the clients under test, by what they ask."""

import time

from app.responders.base import (
    Contexts,
    Data,
    Finish,
    ReasoningDelta,
    Step,
    ToolCall,
    ToolResult,
    Usage,
)

SENTENCE = "Huế lies on the Perfume River, not far from the sea. "
MEGABYTE = 1_000_000


def answer(prompt):
    """As the question's first word says; what is no such word is told at once."""
    word = prompt.question.split()[0]
    yield from _ANSWERS.get(word, _said)(prompt)


def agent(prompt):
    """An answer with everything that an answer can have."""
    yield Data("status", {"text": "searching"}, is_transient=True)
    yield ReasoningDelta("Where could ")
    yield ReasoningDelta("that be?")
    yield ToolCall("call-1", "search_conversations", {"query": "Huế"})
    yield Data("progress", {"percent": 50}, "p1")
    yield ToolResult("call-1", {"found": [1, None, "à"]})
    yield "One moment."
    yield Step()
    yield ToolCall("call-2", "read_conversation", {"id": "nobody's"})
    yield ToolResult("call-2", error="There is no such conversation.")
    yield Data("progress", {"percent": 100}, "p1")
    yield Data("note", None)
    yield Contexts(
        [
            {"title": "Guide", "url": "https://guide.example/hue", "page": 7},
            {"source": "atlas.pdf", "text": "Huế"},
            {"text": "no title"},
        ]
    )
    yield ReasoningDelta("That is it.")
    yield SENTENCE
    yield Usage(11, 3)
    yield Finish("stop", model="agent-1")


def _said(prompt):
    yield f"You said: {prompt.question}"
    yield Finish("stop", model="plain-1")


def _slow(prompt):
    for number in range(30):
        time.sleep(0.05)
        yield f"{number} "


def _endless(prompt):
    for number in range(6000):
        time.sleep(0.02)
        yield f"{number} "


def _failing(prompt):
    yield "half an "
    if not any("mend" in turn.content for turn in prompt.history.turns):
        raise RuntimeError("secret")


def _long(prompt):
    piece = SENTENCE * 200
    for _ in range(MEGABYTE // len(piece.encode())):
        yield piece


_ANSWERS = {"slow": _slow, "endless": _endless, "failing": _failing, "long": _long}
