"""Conversations of real people and products, for tests that store and search them.

The files are published elsewhere; a checkout has them beside the repository or not at all.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "open"
needs_data = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"there is no {FOLDER}")

_ROLES = {
    "human": "user", "prompter": "user", "gpt": "assistant", "bot": "assistant",
    "function_call": "assistant", "observation": "tool",
}  # fmt: skip
_REPLY = re.compile(r"^(User|AI): ", re.MULTILINE)
_YAML_ITEM = re.compile(r"^(- |  )- (.*)$", re.MULTILINE)


@dataclass
class Node:
    """A message of a tree."""

    text: str
    role: str
    children: list["Node"] = field(default_factory=list)

    def walk(self):
        """This message and all that follow from it, each before its answers."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)


def files():
    """Every file with conversations."""
    return sorted(path for path in FOLDER.glob("*/*") if path.is_file())


def conversations_of(path):
    """A file's conversations, each a list of (role, text); of a tree, every branch."""
    found = _READERS[path.parent.name](path)
    kept = [[(_role(role), text) for role, text in said if text.strip()] for said in found]
    return [said for said in kept if said]


def trees():
    """The roots of real trees: of Open Assistant's 50, then of LibreChat's one."""
    lines = (FOLDER / "oasst" / "en_trees_000-049.jsonl").read_text().splitlines()
    shared = json.loads((FOLDER / "librechat" / "librechat-tree.json").read_text())
    asked = [_asked(json.loads(line)["prompt"]) for line in lines]
    return [*asked, *map(_shared, shared["messages"])]


def _asked(record):
    replies = [_asked(reply) for reply in record.get("replies", ())]
    return Node(record["text"], _role(record["role"]), replies)


def _shared(record):
    role = "user" if record["isCreatedByUser"] else "assistant"
    return Node(record["text"], role, [_shared(child) for child in record.get("children", ())])


def _role(name):
    return _ROLES.get(name.lower(), name.lower())


def _json(path):
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def _memory_or_messages(path):
    record = _json(path)
    if "messages" in record:
        return [[(message["role"], message["content"]) for message in record["messages"]]]
    _before, *blocks = _REPLY.split(record["content"])
    names = {"User": "user", "AI": "assistant"}
    return [[(names[who], said) for who, said in zip(blocks[::2], blocks[1::2], strict=True)]]


def _chatbotui(path):
    chats = _json(path)["history"]
    return [[(said["role"], said["content"]) for said in chat["messages"]] for chat in chats]


def _chatgpt(path):
    return [
        [
            (node["message"]["author"]["role"], _chatgpt_text(node["message"]["content"]))
            for node in chat.get("mapping", {}).values()
            if node.get("message")
        ]
        for chat in _json(path)
    ]


def _chatgpt_text(content):
    parts = [part for part in content.get("parts", ()) if isinstance(part, str)]
    return "\n".join([*parts, content.get("text") or content.get("result") or ""])


def _chatterbot(path):
    said = []
    for start, text in _YAML_ITEM.findall(path.read_text().partition("conversations:\n")[2]):
        if start == "- ":
            said.append([])
        said[-1].append((_turn(len(said[-1])), text))
    return said


def _turn(number):
    return "assistant" if number % 2 else "user"


def _claude(path):
    return [
        [(message["sender"], message["text"]) for message in chat["chat_messages"]]
        for chat in _json(path)
    ]


def _kdconv(path):
    return [
        [(_turn(n), said["message"]) for n, said in enumerate(chat["messages"])]
        for chat in _json(path)
    ]


def _librechat(path):
    nodes = [node for root in _json(path)["messages"] for node in _shared(root).walk()]
    return [[(node.role, node.text) for node in nodes]]


def _mtbench101(path):
    return [
        [(who, said[who]) for said in record["history"] for who in ("user", "bot")]
        for record in _lines(path)
    ]


def _mtbench(path):
    asked = ".question." in path.name
    return [
        [
            ("user" if asked else "assistant", turn)
            for turn in (record if asked else record["choices"][0])["turns"]
        ]
        for record in _lines(path)
    ]


def _oasst(path):
    if path.suffix == ".jsonl":
        roots = [_asked(record["prompt"]) for record in _lines(path)]
        return [[(node.role, node.text) for node in root.walk()] for root in roots]
    by_root, said = {}, []
    for record in _json(path):
        parent = by_root.get(record["parent_message_id"])
        if parent is None:
            said.append(parent := [])
        by_root[record["user_message_id"]] = parent
        parent.append((record["role"], record["text"]))
    return said


def _openai(path):
    return [
        [
            (message["role"], "\n".join(part["value"] for part in message["content"]))
            for message in record["messages"]
        ]
        for record in _lines(path)
    ]


def _openwebui(path):
    return [
        [(said["role"], said["content"]) for said in chat["chat"]["history"]["messages"].values()]
        for chat in _json(path)
    ]


def _sharegpt(path):
    return [
        [(said["from"], said["value"]) for said in chat["conversations"]] for chat in _json(path)
    ]


def _taskmaster(path):
    return [[(said["speaker"], said["text"]) for said in _json(path)["utterances"]]]


_READERS = {
    "ai_assistant": _memory_or_messages,
    "chatbotui": _chatbotui,
    "chatgpt": _chatgpt,
    "chatterbot": _chatterbot,
    "claude": _claude,
    "kdconv": _kdconv,
    "librechat": _librechat,
    "mtbench101": _mtbench101,
    "mtbench_multilingual": _mtbench,
    "oasst": _oasst,
    "openai_messages": _openai,
    "openwebui": _openwebui,
    "sharegpt": _sharegpt,
    "taskmaster": _taskmaster,
}
