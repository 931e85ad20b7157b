"""One change to many conversations: all are locked in the order of their ids, then changed.

Whoever locks several in that order can't wait in a circle with others who do, or with an append.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from uuid import UUID

from ..models import Conversation
from ..models.conversation import SHOWN
from .base import Repository
from .conversations import CHANGE, CLIENT_ID, ERASE, INTO_TRASH
from .lists import TRASHED, narrowed

Action = Literal[
    "archive", "unarchive", "pin", "unpin", "tag", "untag", "trash", "restore", "delete"
]
MOST_TAGS = 50

_ADDED = """ARRAY(
    SELECT t.tag FROM unnest(%(tags)s::text[]) WITH ORDINALITY AS t (tag, n)
    WHERE t.tag <> ALL (tags) ORDER BY t.n)"""
_LEFT = """ARRAY(
    SELECT t.tag FROM unnest(tags) WITH ORDINALITY AS t (tag, n)
    WHERE t.tag <> ALL (%(tags)s::text[]) ORDER BY t.n)"""


class _Verb(NamedTuple):
    """What an action sets, where that changes something, and among which conversations.

    `refused`: where it must not.
    """

    change: str
    due: str = "true"
    among: str = SHOWN
    refused: str | None = None


_VERBS: dict[Action, _Verb] = {
    "archive": _Verb("is_archived = true", "NOT is_archived"),
    "unarchive": _Verb("is_archived = false", "is_archived"),
    "pin": _Verb("is_pinned = true", "NOT is_pinned"),
    "unpin": _Verb("is_pinned = false", "is_pinned"),
    "tag": _Verb(
        f"tags = tags || {_ADDED}",
        f"cardinality({_ADDED}) > 0",
        refused=f"cardinality(tags || {_ADDED}) > {MOST_TAGS}",
    ),
    "untag": _Verb(f"tags = {_LEFT}", "tags && %(tags)s::text[]"),
    "trash": _Verb(INTO_TRASH),
    "restore": _Verb("deleted_at = NULL", among=TRASHED),
    "delete": _Verb("", among="is_published"),
}

_LOCK = """
SELECT id, {client_id}, revision, message_count,
    {due} AS is_due, {refused} AS is_refused
FROM conversations WHERE user_email = %(owner)s AND {among} AND {chosen}
ORDER BY id FOR UPDATE
"""
_NAMED = """
(id = ANY (%(ids)s::uuid[]) OR source = 'client' AND source_id = ANY (%(client_ids)s::text[]))
"""
_NEWEST = """
id IN (
    SELECT id FROM conversations WHERE user_email = %(owner)s AND {matching} AND {due}
    ORDER BY {refused_last} updated_at DESC, id DESC LIMIT %(take)s)
"""


@dataclass(frozen=True, slots=True)
class Change:
    """What to do with each of many conversations; `tags` are for tag and untag."""

    action: Action
    tags: Sequence[str] = ()


class BulkRepository(Repository[Conversation]):
    """`lock` and `lock_where` give rows in the order of ids, which nobody else changes then: id,
    client_id, revision, message_count, is_due (something would change), is_refused (too many tags).
    """

    model = Conversation

    def lock(self, change: Change, ids: Sequence[UUID], client_ids: Sequence[str]) -> list[Any]:
        """Those with these ids, ours or the client's own, as far as they can be changed so."""
        statement = self._lock(change, _NAMED)
        return self._run(statement, change, ids=list(ids), client_ids=list(client_ids))

    def lock_where(
        self, change: Change, where: Mapping[str, Any], *, is_trashed: bool, take: int
    ) -> list[Any]:
        """The newest that a filter matches and that change; last those that would be refused."""
        verb = _VERBS[change.action]
        state = TRASHED if is_trashed else SHOWN
        matching = f"{verb.among} AND {state} {narrowed(where)}"
        refused_last = f"{verb.refused}," if verb.refused else ""
        newest = _NEWEST.format(matching=matching, due=verb.due, refused_last=refused_last)
        # Said twice: one that waited for another writer may match no more.
        statement = self._lock(change, f"{state} {narrowed(where)} AND {newest}")
        return self._run(statement, change, take=take, **where)

    def apply(self, change: Change, ids: Sequence[UUID]) -> dict[UUID, int | None]:
        """Changes locked conversations: their revisions now, None for what is no more."""
        verb = _VERBS[change.action]
        statement = CHANGE.format(change=verb.change) if verb.change else ERASE
        revisions = {row.id: row.revision for row in self._run(statement, change, ids=list(ids))}
        self.session.changed(*revisions)
        return revisions

    def _lock(self, change: Change, chosen: str) -> str:
        verb = _VERBS[change.action]
        return _LOCK.format(
            client_id=CLIENT_ID,
            due=verb.due,
            refused=verb.refused or "false",
            among=verb.among,
            chosen=chosen,
        )

    def _run(self, statement: str, change: Change, **values: Any) -> list[Any]:
        named = {"owner": self.session.owner, "tags": list(change.tags)}
        return self.session.run(statement, values | named)
