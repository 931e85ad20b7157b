"""What a replay's server acknowledged: in memory, and as JSON lines in a file for a later look."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

from conversation_files import FileError, Message


@dataclass
class Kept:
    """What the server acknowledged of one conversation."""

    origin: str
    messages: list[Message] = field(default_factory=list)


class Journal:
    """Everything that was acknowledged, by user and conversation; with a path, in a file too."""

    def __init__(self, path: Path | None = None) -> None:
        self.users: dict[str, dict[str, Kept]] = {}
        self.is_finished = False
        self._lock = Lock()
        self._file = path.open("x", encoding="utf-8") if path else None

    @classmethod
    def load(cls, path: Path) -> "Journal":
        """What a file holds; FileError. A last line that was cut off is left out."""
        journal = cls()
        try:
            for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
                journal._apply(json.loads(line))
        except (ValueError, LookupError, TypeError, AttributeError):
            journal.users.clear()
        if not journal.users:
            raise FileError(f"{path}: not the journal of a replay.")
        return journal

    def note(self, **entry: Any) -> None:
        with self._lock:
            self._apply(entry)
            if self._file:
                self._file.write(json.dumps(entry, ensure_ascii=False) + "\n")
                self._file.flush()

    def _apply(self, entry: Mapping[str, Any]) -> None:
        for email in entry.get("users", ()):
            self.users[email] = {}
        if "conversation_id" in entry:
            new = Kept(entry["origin"])
            kept = self.users[entry["user"]].setdefault(entry["conversation_id"], new)
            kept.messages += [Message(*message) for message in entry["messages"]]
        self.is_finished = self.is_finished or "finished" in entry

    def counts(self) -> tuple[int, int]:
        """How many conversations, and how many messages in them."""
        kept = [one for conversations in self.users.values() for one in conversations.values()]
        return len(kept), sum(len(one.messages) for one in kept)
