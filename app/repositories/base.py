"""Repository: Prisma Client Python's vocabulary over one table, for one owner.

    find_unique     find_unique_or_raise   find_first   find_first_or_raise   find_many   count
    create          create_many            update       update_many           upsert
    delete          delete_many

Each method is one statement, and one more for each relation in `include`. docs/repositories.md
has all words, beside Prisma's. A word that is not known, or one with something that it does not
take, is an UnknownWordError. What the database refuses comes as SQLAlchemy's IntegrityError.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import CursorResult, Executable, Result, delete, select, update
from sqlalchemy.dialects.postgresql import Insert, insert

from ..database import Base
from ..errors import MissingOwnerError, RecordNotFoundError
from ..sessions import OwnedSession
from .data import DATA, Data, Values, changed, created, defaults, is_same
from .loading import Include, Load, attach, loads
from .paging import OrderBy, Page, count_page, select_page
from .query import WHERE, Condition, Scope, Where, condition, unique
from .words import OWNER_COLUMN, Place, mapping, misshapen, refuse_unknown, shape_of

M = TypeVar("M", bound=Base)

_OPTIONS = {"synchronize_session": False, "preserve_rowcount": True}


class Repository(Generic[M]):
    """One model's rows, as far as they are the session's owner's; nobody else's are there.

    Made for a unit of work: MissingOwnerError when its session has no owner. Records are
    snapshots, usable when the session is closed, with the relations that were included: to touch
    another one raises, and to assign changes nothing.
    """

    model: type[M]
    owner_column: str = OWNER_COLUMN

    def __init__(self, session: OwnedSession) -> None:
        if not isinstance(session, OwnedSession):
            raise MissingOwnerError
        self._session = session
        self._scope = Scope(self.model, shape_of(self.model, self.owner_column), session.owner)

    @property
    def session(self) -> OwnedSession:
        return self._session

    def find_unique(self, *, where: Where, include: Include | None = None) -> M | None:
        """The record with this unique key: its attributes, and no other, make up `where`."""
        statement = select(self.model).where(self._unique(where))
        return _first(self._records(statement, loads(self._scope, include)))

    def find_unique_or_raise(self, *, where: Where, include: Include | None = None) -> M:
        """As find_unique; RecordNotFoundError when there is none."""
        return _found(self.find_unique(where=where, include=include))

    def find_first(
        self,
        *,
        where: Where | None = None,
        order_by: OrderBy | None = None,
        skip: int = 0,
        cursor: Where | None = None,
        include: Include | None = None,
        distinct: Sequence[str] | None = None,
    ) -> M | None:
        """The first record in `order_by` (the primary key's order comes last, or alone)."""
        page = Page(
            where=where, order_by=order_by, take=1, skip=skip, cursor=cursor, distinct=distinct
        )
        return _first(self._page(page, include))

    def find_first_or_raise(
        self,
        *,
        where: Where | None = None,
        order_by: OrderBy | None = None,
        skip: int = 0,
        cursor: Where | None = None,
        include: Include | None = None,
        distinct: Sequence[str] | None = None,
    ) -> M:
        """As find_first; RecordNotFoundError when there is none."""
        found = self.find_first(
            where=where,
            order_by=order_by,
            skip=skip,
            cursor=cursor,
            include=include,
            distinct=distinct,
        )
        return _found(found)

    def find_many(
        self,
        *,
        where: Where | None = None,
        order_by: OrderBy | None = None,
        take: int | None = None,
        skip: int = 0,
        cursor: Where | None = None,
        include: Include | None = None,
        distinct: Sequence[str] | None = None,
    ) -> list[M]:
        """Records in `order_by`, ties in the order of a unique key.

        A negative `take` counts from the end. `cursor` is a unique key; its record is the first
        of the result (`skip=1` leaves it out). `distinct` keeps the first of those equal in it.
        """
        page = Page(
            where=where, order_by=order_by, take=take, skip=skip, cursor=cursor, distinct=distinct
        )
        return self._page(page, include)

    def count(
        self,
        *,
        where: Where | None = None,
        order_by: OrderBy | None = None,
        take: int | None = None,
        skip: int = 0,
        cursor: Where | None = None,
    ) -> int:
        """How many records find_many would give."""
        page = Page(where=where, order_by=order_by, take=take, skip=skip, cursor=cursor)
        return int(self._execute(count_page(self._scope, page)).scalar_one())

    def create(self, *, data: Data, include: Include | None = None) -> M:
        """The new record. Its owner is the session's; UnknownWordError if `data` says another."""
        values = self._columns(created(self._scope, data))
        statement = self._insert().values(values).returning(self.model)
        return self._records(statement, loads(self._scope, include))[0]

    def create_many(self, *, data: Sequence[Data], skip_duplicates: bool = False) -> int:
        """How many were created. `skip_duplicates` leaves out those with a key that is taken."""
        if not isinstance(data, list | tuple):
            raise misshapen(DATA, "a list of dicts")
        rows = [created(self._scope, row, DATA.item(n)) for n, row in enumerate(data)]
        if not rows:
            return 0
        names = list(dict.fromkeys(name for row in rows for name in row))
        full = [self._columns(defaults(self._scope, names) | row) for row in rows]
        statement = self._insert().values(full)
        return self._count(statement.on_conflict_do_nothing() if skip_duplicates else statement)

    def update(self, *, where: Where, data: Data, include: Include | None = None) -> M:
        """The changed record. `where` is a unique key; RecordNotFoundError when there is none."""
        statement = update(self.model).where(self._unique(where)).values(self._changes(data))
        returned = statement.returning(self.model)
        return _found(_first(self._records(returned, loads(self._scope, include))))

    def update_many(self, *, where: Where | None = None, data: Data) -> int:
        """How many were changed."""
        matching = self._matching(where)
        return self._count(update(self.model).where(matching).values(self._changes(data)))

    def upsert(
        self, *, where: Where, data: Mapping[str, Data], include: Include | None = None
    ) -> M:
        """The record with the unique key `where`: made by data["create"], or by data["update"]
        changed. The key's own values may be left out of "create".

        RecordNotFoundError when the key is taken by somebody else's record.
        """
        for word in mapping(data, DATA):
            refuse_unknown(word, DATA, ("create", "update"))
        if len(data) != 2:
            raise misshapen(DATA, "both create and update")
        key, _condition = unique(self._scope, where)
        statement = (
            self._insert()
            .values(self._columns(self._created_as(where, data["create"])))
            .on_conflict_do_update(
                index_elements=[self._scope.shape.fields[name] for name in key.fields],
                index_where=key.predicate,
                set_=self._changes(data["update"], DATA.at("update")),
                where=self._scope.owned(),
            )
        )
        returned = statement.returning(self.model)
        return _found(_first(self._records(returned, loads(self._scope, include))))

    def delete(self, *, where: Where) -> M:
        """The record that is no more. RecordNotFoundError when there was none."""
        statement = delete(self.model).where(self._unique(where))
        return _found(_first(self._records(statement.returning(self.model))))

    def delete_many(self, *, where: Where | None = None) -> int:
        """How many were deleted."""
        return self._count(delete(self.model).where(self._matching(where)))

    def _matching(self, where: Where | None) -> Condition:
        return self._scope.owned() & condition(self._scope, where)

    def _unique(self, where: Where) -> Condition:
        _key, is_named = unique(self._scope, where)
        return self._scope.owned() & is_named

    def _created_as(self, where: Where, data: Data) -> Values:
        """What `data` creates, under the key `where`."""
        place = DATA.at("create")
        values, key = created(self._scope, data, place), created(self._scope, where, WHERE)
        for name in key.keys() & values.keys():
            if not is_same(values[name], key[name]):
                raise misshapen(place.at(name), "the value that where has")
        return values | key

    def _changes(self, data: Data, place: Place = DATA) -> dict[Any, Any]:
        """The assignments of an UPDATE; without data one that changes nothing, as SQL needs one."""
        values = changed(self._scope, data, place)
        return self._columns(values or {self._scope.shape.owner: self.session.owner})

    def _columns(self, values: Values) -> dict[Any, Any]:
        return {self._scope.shape.fields[name]: value for name, value in values.items()}

    def _insert(self) -> Insert:
        return insert(self.model)

    def _page(self, page: Page, include: Include | None) -> list[M]:
        records = self._records(select_page(self._scope, page), loads(self._scope, include))
        return records[::-1] if page.is_from_end else records

    def _records(self, statement: Executable, included: Sequence[Load] = ()) -> list[M]:
        records = [record for (record,) in self._rows(statement)]
        attach(records, included, self._rows)
        return records

    def _rows(self, statement: Executable, values: Mapping[str, Any] | None = None) -> list[Any]:
        rows = list(self._execute(statement, values))
        self.session.expunge_all()
        return rows

    def _count(self, statement: Executable) -> int:
        return cast(CursorResult[Any], self._execute(statement)).rowcount

    def _execute(
        self, statement: Executable, values: Mapping[str, Any] | None = None
    ) -> Result[Any]:
        # Only a connection that was asked for carries the owner to row-level security.
        self.session.connection()
        return self.session.execute(statement, values, execution_options=_OPTIONS)


def _first(records: list[M]) -> M | None:
    return records[0] if records else None


def _found(record: M | None) -> M:
    if record is None:
        raise RecordNotFoundError
    return record
