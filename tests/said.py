"""Answers for tests: what a responder may say, in any order, and what watchers hear of it."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st

from app.responders.base import (
    Contexts,
    Data,
    ReasoningDelta,
    Step,
    TextDelta,
    ToolCall,
    ToolResult,
)
from app.streaming.answer import Answer
from app.streaming.events import Heard, Started
from app.transcript import Turn

STARTED = Started(
    conversation_id=UUID(int=1),
    message_id=UUID(int=2),
    user_message_id=UUID(int=3),
    revision=4,
    title="Where is Huế?",
)
KINDS = {
    "text": lambda n: [TextDelta(f"{n} Huế 漢字 👩‍👩‍👧 ")],
    "reasoning": lambda n: [ReasoningDelta(f"{n} hm \u2028 ")],
    "contexts": lambda n: [Contexts([{"source": f"{n}.pdf", "page": n}])],
    "step": lambda n: [Step()],
    "called": lambda n: [ToolCall(f"call_{n}", "search", {"q": f"{n}"})],
    "answered": lambda n: [
        ToolCall(f"call_{n}", "search", "no JSON"),
        ToolResult(f"call_{n}", [n]),
    ],
    "failed": lambda n: [ToolCall(f"call_{n}", "clock", {}), ToolResult(f"call_{n}", None, "No.")],
    "data": lambda n: [Data("chart", {"n": n})],
    "data again": lambda n: [Data("progress", n, "p-1")],
    "transient": lambda n: [Data("chart", {"n": n}, is_transient=True)],
}
SAID = st.lists(st.sampled_from(sorted(KINDS)), max_size=12).map(
    lambda kinds: [event for n, kind in enumerate(kinds) for event in KINDS[kind](n)]
)
"""A responder's events: any kinds in any order, no two texts alike."""


def written(said):
    """The answer that a responder's events come to, and what is heard of it, numbered."""
    answer = Answer(10**6)
    events = [STARTED, *(answer.take(event) for event in said)]
    return answer, [Heard(event, number) for number, event in enumerate(events)]


def stored(answer, *, status="complete", **fields):
    """The turn that an answer is stored as."""
    kept = {"content": answer.text, "parts": answer.parts(), "contexts": answer.contexts}
    return Turn(
        id=STARTED.message_id,
        seq=2,
        parent_id=STARTED.user_message_id,
        role="assistant",
        status=status,
        created_at=datetime(2026, 11, 21, tzinfo=UTC),
        **kept | fields,
    )
