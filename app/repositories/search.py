"""Full text over an owner's own messages and titles, in one order."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from ..models import Message
from ..search_query import SearchQuery
from .base import Repository

MOST_RANKED = 5_000
"""Of the messages that match, the newest so many are ranked: those before them are not found.

A word that stands in more of somebody's messages than that tells little; to name another, or to
narrow it by a filter, reaches them.
"""

MOST_SCANNED = 2_000
"""Whose messages are so few is searched for a word's beginning in all of them: in the index it is
looked up among all words that all users ever wrote.
"""

_SEARCH = """
SELECT kind, conversation_id, title, message_id, role, is_active, created_at, rank, text
FROM parley_search(
    %(query)s::tsquery, %(ranking)s::tsquery, %(conversation_id)s::uuid, %(role)s, %(tag)s,
    %(since)s::timestamptz, %(until)s::timestamptz,
    %(rank)s::real, %(created_at)s::timestamptz, %(id)s::uuid,
    %(most_scanned)s, %(most_ranked)s, %(most_read)s, %(take)s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchFilter:
    """What narrows a search; `since` is included, `until` is not. A role leaves titles out."""

    conversation_id: UUID | None = None
    role: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class SearchCursor(NamedTuple):
    """The last result of a page, in ranked order; `id` is a title's conversation's."""

    rank: float
    created_at: datetime
    id: UUID


_START: dict[str, Any] = dict.fromkeys(SearchCursor._fields)


class SearchRepository(Repository[Message]):
    model = Message

    def search(
        self,
        query: SearchQuery,
        *,
        narrowed: SearchFilter,
        cursor: SearchCursor | None,
        take: int,
        read: int,
    ) -> list[Any]:
        """Rows that a query matches, best first, after `cursor`.

        A `kind` is `message` or `title`, which counts twice as much; `text` is as much as is to
        be read of what was found. At most MOST_RANKED messages are ranked.
        """
        values = {
            "query": query.literal,
            "ranking": query.ranking,
            "most_scanned": MOST_SCANNED if query.beginnings else 0,
            "most_ranked": MOST_RANKED,
            "most_read": read,
            "take": take,
        }
        place = cursor._asdict() if cursor else _START
        return self.session.run(_SEARCH, values | place | asdict(narrowed))
