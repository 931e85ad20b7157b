"""Reads files of conversations. The shape decides, never the file's name:

- KdConv: a list of `{"messages": [{"message": …}, …], "name": …}`; two people, turn by turn.
- MT-Bench-101: JSON lines of `{"history": [{"user": …, "bot": …}, …]}`.
- OpenAI's: `{"messages": [{"role": …, "content": …}, …]}` or such a list itself; one of them, a
  list of them, or JSON lines.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

ROLES = ("user", "assistant", "system", "tool")


class FileError(Exception):
    """The file can't be read as conversations; the message says where and why."""


class Message(NamedTuple):
    role: str
    content: str


@dataclass(frozen=True)
class Conversation:
    """`key` is made of the file's content and the place in it: the same in every run."""

    key: str
    origin: str
    messages: list[Message]


def read_file(path: Path) -> list[Conversation]:
    """The conversations of a file, or FileError; OSError when it can't be opened."""
    content = path.read_bytes()
    try:
        records = _records(content.decode("utf-8-sig"))
    except ValueError as error:
        raise FileError(f"{path}: neither JSON nor JSON lines ({error}).") from None
    if not records:
        raise FileError(f"{path}: no conversation in it.")
    digest = sha256(content).hexdigest()[:16]
    return [
        Conversation(f"{digest}-{place}", origin, _checked(record, origin))
        for place, record in enumerate(records)
        if (origin := f"{path.name}, conversation {place}")
    ]


def _records(text: str) -> list[Any]:
    """One entry a conversation; ValueError when it is not JSON."""
    try:
        whole = json.loads(text)
    except ValueError:  # not splitlines(), which also splits at characters within a text
        return [json.loads(line) for line in text.split("\n") if line.strip()]
    match whole:
        case [{"role": _}, *_]:
            return [whole]
        case [*records]:
            return records
    return [whole]


def _checked(record: Any, origin: str) -> list[Message]:
    try:
        messages = [Message(role, text) for role, text in _said(record)]
    except (LookupError, TypeError):
        raise FileError(f"{origin}: not a list of messages in a known shape.") from None
    for place, (role, text) in enumerate(messages):
        if role not in ROLES or not isinstance(text, str):
            raise FileError(f"{origin}, message {place}: not a plain text of a known role.")
    return messages


def _said(record: Any) -> list[tuple[Any, Any]]:
    """Role and text of each message; LookupError or TypeError for another shape."""
    match record:
        case {"history": [*turns]}:
            pairs = [(("user", turn["user"]), ("assistant", turn["bot"])) for turn in turns]
            return [message for pair in pairs for message in pair]
        case {"messages": [{"message": _}, *_] as lines}:
            return [(ROLES[place % 2], line["message"]) for place, line in enumerate(lines)]
        case {"messages": [*messages]} | [*messages]:
            return [(message["role"], message["content"]) for message in messages]
    raise TypeError
