"""Finding what was said: ranked results for people, passages for responders."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from ..clock import parse, timestamp
from ..cursors import decode_cursor, encode_cursor
from ..database import Database
from ..errors import RecordNotFoundError
from ..repositories.messages import MessageRepository
from ..repositories.search import SearchCursor, SearchFilter, SearchRepository
from ..responders.recall import Passage
from ..search_query import SearchQuery, parse_search_query
from ..search_words import any_of
from ..snippets import READ, snippet
from .conversations import ConversationService

# Well within what a `real` of PostgreSQL holds: what is beyond it fails there.
_LEAST_RANK, _MOST_RANK = 1e-30, 1e30


# Looking through a text takes a millisecond for each thousand characters.
_READ_OF_A_PAGE = 400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchResult:
    """A message or a title that was found. `snippet` is HTML; a higher `rank` fits better."""

    kind: str
    conversation_id: UUID
    title: str | None
    message_id: UUID | None
    role: str | None
    is_active: bool
    snippet: str
    created_at: datetime
    rank: float


@dataclass(frozen=True, slots=True)
class SearchPage:
    """Results, best first; `next_cursor` is opaque, None at the end."""

    results: Sequence[SearchResult] = ()
    next_cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What somebody looks for, in the language of search_query, and where.

    `conversation` is an id of ours or the client's own; `since` is included, `until` is not.
    """

    text: str
    conversation: str | None = None
    role: str | None = None
    tag: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class SearchService:
    def __init__(self, database: Database, conversations: ConversationService) -> None:
        self._database = database
        self._conversations = conversations

    def search(
        self, owner: str, search: Search, *, limit: int, cursor: str | None = None
    ) -> SearchPage:
        """The owner's messages and titles that fit, best first, but for what lies in the trash.

        A search that means nothing, or names a conversation that is not there, finds nothing.
        InvalidFieldsError: a foul cursor.
        """
        after = decode_cursor(cursor, _read_cursor) if cursor else None
        query = parse_search_query(search.text)
        if query is None:
            return SearchPage()
        try:
            narrowed = self._narrowed(owner, search)
        except RecordNotFoundError:
            return SearchPage()
        with self._database.statement(owner) as session:
            rows = SearchRepository(session).search(
                query,
                narrowed=narrowed,
                cursor=after,
                take=limit + 1,
                read=min(READ, _READ_OF_A_PAGE // limit),
            )
        shown = rows[:limit]
        next_cursor = _cursor_of(shown[-1]) if len(rows) > limit else None
        return SearchPage([_result(row, query) for row in shown], next_cursor)

    def passages(self, owner: str, question: str, limit: int) -> Sequence[Passage]:
        """The owner's messages that share the most telling words of a question, best first."""
        words = any_of(question)
        if not words:
            return ()
        with self._database.statement(owner) as session:
            rows = MessageRepository(session).search(words, asked=question, take=limit)
        return [Passage(**row._asdict()) for row in rows]

    def _narrowed(self, owner: str, search: Search) -> SearchFilter:
        named = search.conversation
        return SearchFilter(
            conversation_id=self._conversations.find(owner, named) if named else None,
            role=search.role,
            tag=search.tag,
            since=search.since,
            until=search.until,
        )


def _result(row: Any, query: SearchQuery) -> SearchResult:
    time.sleep(0)  # a page of long texts takes a while: a worker has other requests, too
    fields = row._asdict()
    return SearchResult(snippet=snippet(fields.pop("text"), query), **fields)


def _cursor_of(row: Any) -> str:
    return encode_cursor(row.rank, row.created_at, row.message_id or row.conversation_id)


def _read_cursor(rank: Any, created_at: str, found_id: str) -> SearchCursor | None:
    moment = parse(created_at)
    is_ours = _is_rank(rank) and timestamp(moment) == created_at
    return SearchCursor(rank, moment, UUID(found_id)) if is_ours else None


def _is_rank(rank: Any) -> bool:
    return isinstance(rank, float) and (rank == 0 or _LEAST_RANK < rank < _MOST_RANK)
