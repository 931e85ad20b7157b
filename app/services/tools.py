"""The tools that every agent has: a user's own history, and nobody else's.

Whose it is says the prompt. What the model says can only narrow what is found.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from ..clock import timestamp
from ..errors import InvalidFieldsError, RecordNotFoundError
from ..ids import parse_id
from ..responders.base import Prompt
from ..responders.recall import context_of, excerpt
from ..responders.tools import MOST_BYTES, Findings, Tool, ToolError
from ..transcript import Turn
from .search import SearchService
from .tree import TreeService
from .windows import Window

NO_CONVERSATION = "There is no such conversation."
_MOST_RESULTS = 20
_USUAL_RESULTS = 5
_LONGEST_QUERY = 1000
_LONGEST_QUOTE = 600
_PAGE = 20
_LONGEST_MESSAGE = 2000
_PAGE_BYTES = MOST_BYTES * 3 // 4  # the rest is ids and times

_SEARCH = {
    "type": "object",
    "properties": {
        "query": {"type": "string", "description": "Words that the messages would hold"},
        "limit": {"type": "integer", "minimum": 1, "maximum": _MOST_RESULTS},
    },
    "required": ["query"],
}
_READ = {
    "type": "object",
    "properties": {
        "conversation_id": {"type": "string"},
        "before": {"type": "string", "description": "A message id: read what came before it"},
    },
    "required": ["conversation_id"],
}


def history_tools(search: SearchService, tree: TreeService) -> Sequence[Tool]:
    """`search_conversations` and `read_conversation`, over what the asking user has stored."""
    return (
        Tool(
            "search_conversations",
            "Find messages of the user's earlier conversations, best first.",
            _SEARCH,
            partial(_search, search),
        ),
        Tool(
            "read_conversation",
            "Read the last messages of one of the user's conversations, or those before one.",
            _READ,
            partial(_read, tree),
        ),
    )


def _search(search: SearchService, prompt: Prompt, arguments: Mapping[str, Any]) -> Findings:
    query = _text(arguments, "query")[:_LONGEST_QUERY]
    limit = arguments.get("limit", _USUAL_RESULTS)
    if not isinstance(limit, int):
        raise ToolError("limit must be a whole number.")
    limit = min(max(limit, 1), _MOST_RESULTS)
    found = search.passages(prompt.user_email, query, limit + 1)
    # The question that is being answered is in the history by now.
    telling = [passage for passage in found if passage.content.strip() != prompt.question.strip()]
    contexts = [
        context_of(passage, excerpt(passage.content, query, limit=_LONGEST_QUOTE))
        for passage in telling[:limit]
    ]
    return Findings({"results": contexts}, contexts)


def _read(tree: TreeService, prompt: Prompt, arguments: Mapping[str, Any]) -> dict[str, Any]:
    reference = _text(arguments, "conversation_id")
    window = Window(limit=_PAGE, before=_before(arguments))
    try:
        page = tree.page(prompt.user_email, reference, window, branch="active")
    except RecordNotFoundError:
        raise ToolError(NO_CONVERSATION) from None
    except InvalidFieldsError:
        raise ToolError("There is no such message in this conversation.") from None
    shown = _fitting(page.turns)
    has_more = page.has_more or len(shown) < len(page.turns)
    return {
        # The answer that is being written has no text yet.
        "messages": [_message(turn) for turn in shown if turn.content],
        "before": shown[0].id if has_more else None,
    }


def _before(arguments: Mapping[str, Any]) -> UUID | None:
    if arguments.get("before") is None:
        return None
    if (message_id := parse_id(_text(arguments, "before"))) is None:
        raise ToolError("before must be the id of a message.")
    return message_id


def _fitting(turns: Sequence[Turn]) -> Sequence[Turn]:
    """As many of the last turns as a result has room for: several, since each is cut."""
    room = _PAGE_BYTES
    for place in range(len(turns) - 1, -1, -1):
        room -= len(_cut(turns[place].content).encode())
        if room < 0:
            return turns[place + 1 :]
    return turns


def _message(turn: Turn) -> dict[str, Any]:
    return {
        "id": turn.id,
        "role": turn.role,
        "text": _cut(turn.content),
        "created_at": timestamp(turn.created_at),
    }


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}…"


def _text(arguments: Mapping[str, Any], name: str) -> str:
    text = arguments.get(name)
    if not isinstance(text, str) or not text.strip():
        raise ToolError(f"{name} must be a text.")
    return text
