"""Lists of conversations, each in the order of an index, and what narrows them.

@@ and @> are not leakproof: under row-level security they take no part in an index. They filter
what an owner's index gives: a page is full after few rows, or after all that one owner has.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Literal, NamedTuple
from uuid import UUID

from ..models import Conversation
from ..models.conversation import SHOWN
from ..statements import IN_ORDER, Statement
from .as_json import ITEM_JSON, TRASHED_JSON
from .base import Repository

Order = Literal["newest", "pinned", "rest", "trash"]

TRASHED = "deleted_at IS NOT NULL AND is_published"

_CONDITIONS = {
    "is_archived": "is_archived = %(is_archived)s",
    "is_pinned": "is_pinned = %(is_pinned)s",
    "tag": "%(tag)s = ANY (tags)",
    "mode": "mode = %(mode)s",
    "since": "updated_at >= %(since)s",
    "until": "updated_at < %(until)s",
    "words": "title_words @@ %(words)s::tsquery",
}
_NOTHING = "false"
_OFTEN = frozenset({"is_archived"})


class _Part(NamedTuple):
    """What one index holds: in the order of `moment`, newest first, and then of ids."""

    condition: str
    moment: str = "updated_at"
    json: str = ITEM_JSON


_PARTS: dict[Order, _Part] = {
    "newest": _Part(SHOWN),
    "pinned": _Part(f"{SHOWN} AND is_pinned"),
    "rest": _Part(f"{SHOWN} AND NOT is_pinned"),
    "trash": _Part(TRASHED, "deleted_at", TRASHED_JSON),
}


class ListCursor(NamedTuple):
    """The last conversation of a page: its moment in `order`, which is that of its list."""

    order: Order
    moment: datetime
    id: UUID


class ListRepository(Repository[Conversation]):
    model = Conversation

    def page(
        self,
        order: Order,
        where: Mapping[str, Any],
        *,
        take: int,
        cursor: ListCursor | None = None,
    ) -> list[bytes]:
        """Conversations after `cursor`, each as JSON. `pinned` goes on with the rest.

        `where`: what to narrow by, see `narrowed`.
        """
        values = {"owner": self.session.owner, "take": take, **where}
        if cursor:
            values |= {"moment": cursor.moment, "id": cursor.id}
        is_hot = _OFTEN.issuperset(where)
        statement = _statement(order, narrowed(where), is_first=not cursor, is_hot=is_hot)
        return [row.json.encode() for row in self.session.run(statement, values)]


def narrowed(where: Mapping[str, Any]) -> str:
    """The SQL of conditions by name: is_archived, is_pinned, tag, mode, since, until, words.

    `words` is a tsquery literal; an empty one finds nothing.
    """
    conditions = (
        _NOTHING if name == "words" and not value else _CONDITIONS[name]
        for name, value in where.items()
    )
    return "".join(f" AND {condition}" for condition in conditions)


@cache
def _statement(order: Order, conditions: str, *, is_first: bool, is_hot: bool) -> Statement:
    sql = _scan(order, conditions, is_first=is_first)
    if order == "pinned":
        # One after the other: nothing that has a LIMIT of its own is scanned in parallel.
        rest = _scan("rest", conditions, is_first=True)
        sql = f"({sql}) UNION ALL ({rest}) LIMIT %(take)s"
    return Statement("list", sql, settings=IN_ORDER, is_hot=is_hot)


def _scan(order: Order, conditions: str, *, is_first: bool) -> str:
    part = _PARTS[order]
    after = "" if is_first else f"AND ({part.moment}, id) < (%(moment)s, %(id)s)"
    return f"""
SELECT {part.json} AS json FROM conversations c
WHERE user_email = %(owner)s AND {part.condition} {conditions} {after}
ORDER BY {part.moment} DESC, id DESC LIMIT %(take)s
"""
