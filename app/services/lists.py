"""Lists of one owner's conversations: filters, and pages that stay stable while things change."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from ..clock import parse, timestamp
from ..cursors import decode_cursor, encode_cursor
from ..database import Database
from ..json_text import loads
from ..repositories.lists import ListCursor, ListRepository, Order
from ..search_query import parse_search_query
from .warming import Warming

_ORDERS: dict[Order, tuple[Order, ...]] = {
    "newest": ("newest",),
    "pinned": ("pinned", "rest"),
    "trash": ("trash",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilter:
    """Which conversations are meant; None: whatever it is. All that is given must be so.

    `is_archived`: by default those that are not, but in the trash any. `title` is a text in the
    language of search_query, its last word perhaps unfinished; `since` is included, `until` not.
    """

    is_trashed: bool = False
    is_archived: bool | None = None
    is_pinned: bool | None = None
    tag: str | None = None
    mode: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    title: str | None = None

    def where(self) -> dict[str, Any]:
        """The conditions that are given, as repositories.lists names them."""
        is_archived = self.is_archived
        conditions = {
            "is_archived": is_archived if self.is_trashed else bool(is_archived),
            "is_pinned": self.is_pinned,
            "tag": self.tag,
            "mode": self.mode,
            "since": self.since,
            "until": self.until,
            "words": None if self.title is None else _words(self.title),
        }
        return {name: value for name, value in conditions.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list, each conversation as JSON; `next_cursor` is opaque, None at the end."""

    conversations: Sequence[bytes]
    next_cursor: str | None

    @property
    def array(self) -> bytes:
        """The conversations as one JSON array."""
        return b"[%b]" % b",".join(self.conversations)


class ListService:
    def __init__(self, database: Database, warming: Warming | None = None) -> None:
        """`warming`: copies the newest that a user lists, before they open one."""
        self._database = database
        self._warming = warming

    def page(
        self,
        owner: str,
        wanted: ListFilter,
        *,
        limit: int,
        cursor: str | None = None,
        is_pinned_first: bool = False,
    ) -> Page:
        """The owner's conversations, newest activity first; in the trash what came there last.

        InvalidFieldsError: a cursor that is foul, or of a list in another order.
        """
        order = _order(wanted, is_pinned_first=is_pinned_first)
        after = decode_cursor(cursor, partial(_read_cursor, order)) if cursor else None
        with self._database.statement(owner) as session:
            found = ListRepository(session).page(
                after.order if after else order, wanted.where(), take=limit + 1, cursor=after
            )
        shown = found[:limit]
        if self._warming and after is None:
            self._warming.warm(owner, shown)
        return Page(shown, _cursor_of(order, shown[-1]) if len(found) > limit else None)


def _order(wanted: ListFilter, *, is_pinned_first: bool) -> Order:
    if wanted.is_trashed:
        return "trash"
    return "pinned" if is_pinned_first else "newest"


def _words(title: str) -> str:
    query = parse_search_query(f"{title.rstrip()}*")
    return query.literal if query else ""


def _cursor_of(order: Order, shown: bytes) -> str:
    last = loads(shown)
    if order == "pinned" and not last["is_pinned"]:
        order = "rest"
    moment = last["deleted_at" if order == "trash" else "updated_at"]
    return encode_cursor(order, moment, last["id"])


def _read_cursor(order: Order, part: Order, text: str, number: str) -> ListCursor | None:
    moment = parse(text)
    is_ours = part in _ORDERS[order] and timestamp(moment) == text
    return ListCursor(part, moment, UUID(number)) if is_ours else None
