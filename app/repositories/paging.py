"""`order_by`, `cursor`, `take`, `skip` and `distinct`: which rows of a result, in what order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true, tuple_

from .query import Condition, Scope, Where, condition, unique
from .words import OTHER_KIND, Place, Shape, UniqueKey, kind_of, mapping, misshapen, refuse_unknown

OrderBy = Mapping[str, Any] | Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A negative `take` counts from the end; the order stays. `cursor` is the first row itself.

    `place` is where the page's words stand, when it is not a method's own.
    """

    where: Where | None = None
    order_by: OrderBy | None = None
    take: int | None = None
    skip: int = 0
    cursor: Where | None = None
    distinct: Sequence[str] | None = None
    place: Place | None = None

    def at(self, word: str) -> Place:
        return self.place.at(word) if self.place else Place(word)

    @property
    def is_from_end(self) -> bool:
        return self.take is not None and self.take < 0


@dataclass(frozen=True, slots=True)
class _Term:
    field: str
    is_descending: bool
    is_null_first: bool

    @property
    def is_plain(self) -> bool:
        """Whether NULL is greater than every value, as PostgreSQL sorts and indexes unasked."""
        return self.is_null_first == self.is_descending

    def reversed(self) -> "_Term":
        return _Term(self.field, not self.is_descending, not self.is_null_first)


def select_page(scope: Scope, page: Page) -> Select[Any]:
    """The rows of a page; in reverse when it is from the end."""
    _check_counts(page)
    terms = _terms(scope.shape, page)
    travelled = [term.reversed() for term in terms] if page.is_from_end else terms
    statement = select(scope.entity).where(scope.owned())
    if page.distinct:
        statement = statement.where(_is_first(scope, page, terms, travelled))
    else:
        statement = statement.where(*_conditions(scope, page, travelled))
    statement = statement.order_by(*_sorted(scope, travelled)).offset(page.skip or None)
    return statement if page.take is None else statement.limit(abs(page.take))


def count_page(scope: Scope, page: Page) -> Select[Any]:
    """How many rows a page has."""
    key = scope.shape.keys[0].fields
    rows = select_page(scope, page).with_only_columns(*(scope.column(name) for name in key))
    if page.take is None and not page.skip:
        rows = rows.order_by(None)  # a sort that PostgreSQL would carry out
    return select(func.count()).select_from(rows.subquery())


def order_of(scope: Scope, page: Page) -> list[ColumnElement[Any]]:
    """The order in which a page's rows come, from whichever end they are counted."""
    return _sorted(scope, _terms(scope.shape, page))


def _check_counts(page: Page) -> None:
    for name, count in (("take", page.take or 0), ("skip", page.skip)):
        if not isinstance(count, int) or isinstance(count, bool):
            raise misshapen(page.at(name), f"a whole number, not {type(count).__name__}")
    if page.skip < 0:
        raise misshapen(page.at("skip"), "a number that is not negative")


def _conditions(scope: Scope, page: Page, travelled: Sequence[_Term]) -> list[Condition]:
    from_cursor = [] if page.cursor is None else [_from_cursor(scope, page, travelled)]
    return [condition(scope, page.where, page.at("where")), *from_cursor]


def _terms(shape: Shape, page: Page) -> list[_Term]:
    """The asked order, and what makes it one in which no two rows are equal."""
    place, order_by = page.at("order_by"), page.order_by
    asked = [] if order_by is None else [order_by] if isinstance(order_by, Mapping) else order_by
    if not isinstance(asked, list | tuple):
        raise misshapen(place, "a dict of one field and its direction, or a list of them")
    terms = [_term(shape, words, place.item(n)) for n, words in enumerate(asked)]
    named = {term.field for term in terms}
    is_descending = bool(terms) and terms[-1].is_descending
    rest = [name for name in _tiebreaker(shape, named).fields if name not in {*named, shape.owner}]
    return [*terms, *(_Term(name, is_descending, is_descending) for name in rest)]


def _tiebreaker(shape: Shape, named: set[str]) -> UniqueKey:
    """The key that needs the fewest columns more, the primary key before others."""
    total = [key for key in shape.keys if key.is_total]
    return min(total, key=lambda key: len({*key.fields} - named - {shape.owner}))


def _term(shape: Shape, words: object, place: Place) -> _Term:
    named = mapping(words, place)
    if len(named) != 1:
        raise misshapen(place, "exactly one field and its direction")
    ((name, direction),) = named.items()
    columns = shape.fields.items()
    refuse_unknown(name, place, {n for n, c in columns if kind_of(c.type) is not OTHER_KIND})
    return _directed(name, direction, place.at(name), is_nullable=shape.fields[name].nullable)


def _directed(name: str, said: object, place: Place, *, is_nullable: bool | None) -> _Term:
    """`said`: a direction, or for a field that can be NULL a dict that says where NULLs stand."""
    words: Mapping[Any, Any] = said if isinstance(said, Mapping) else {"sort": said}
    for word in words:
        refuse_unknown(word, place, ("sort", "nulls") if is_nullable else ("sort",))
    refuse_unknown(words.get("sort"), place, ("asc", "desc"))
    is_descending = words["sort"] == "desc"
    nulls = words.get("nulls", "first" if is_descending else "last")
    refuse_unknown(nulls, place.at("nulls"), ("first", "last"))
    return _Term(name, is_descending, nulls == "first")


def _sorted(scope: Scope, terms: Sequence[_Term]) -> list[ColumnElement[Any]]:
    return [_ordered(scope.column(term.field), term) for term in terms]


def _ordered(column: Any, term: _Term) -> ColumnElement[Any]:
    order: ColumnElement[Any] = column.desc() if term.is_descending else column.asc()
    if term.is_plain:
        return order
    return order.nulls_first() if term.is_null_first else order.nulls_last()


def _from_cursor(scope: Scope, page: Page, terms: Sequence[_Term]) -> Condition:
    """The row that `cursor` names and those after it; nothing when the owner has no such row."""
    mark = scope.again()
    _key, is_mark = unique(mark, page.cursor or {}, page.at("cursor"))
    columns = [scope.column(term.field) for term in terms]
    marks = [mark.column(term.field) for term in terms]
    if _is_uniform(scope.shape, terms):
        # A row comparison with a subquery can start in the middle of an index.
        named = select(*marks).where(mark.owned(), is_mark).correlate_except(mark.entity)
        start: Any = named.scalar_subquery()
        row: Any = tuple_(*columns)
        return row <= start if terms[0].is_descending else row >= start  # type: ignore[no-any-return]
    after = _not_before(columns, marks, terms, scope.shape)
    named = select(true()).where(mark.owned(), is_mark, after).correlate_except(mark.entity)
    return named.exists()


def _is_uniform(shape: Shape, terms: Sequence[_Term]) -> bool:
    directions = {term.is_descending for term in terms}
    return len(directions) == 1 and not any(shape.fields[t.field].nullable for t in terms)


def _not_before(
    columns: Sequence[Any], marks: Sequence[Any], terms: Sequence[_Term], shape: Shape
) -> Condition:
    """Whether a row stands at the mark or after it, column by column."""
    holds: Condition = true()
    for column, mark, term in reversed(list(zip(columns, marks, terms, strict=True))):
        low, high = (column, mark) if term.is_descending else (mark, column)
        if shape.fields[term.field].nullable:
            value, null = (column, mark) if term.is_null_first else (mark, column)
            is_after = or_(low < high, and_(value.is_not(None), null.is_(None)))
        else:
            is_after = low < high
        holds = or_(is_after, and_(column.is_not_distinct_from(mark), holds))
    return holds


def _is_first(
    scope: Scope, page: Page, terms: Sequence[_Term], travelled: Sequence[_Term]
) -> Condition:
    """Whether a row is, in the page's order, the first with its values of `distinct`."""
    inner, place = scope.again(), page.at("distinct")
    if not isinstance(page.distinct, list | tuple):
        raise misshapen(place, "a list of fields")
    for n, name in enumerate(page.distinct):
        refuse_unknown(name, place.item(n), scope.shape.fields)
    values = [inner.column(name) for name in page.distinct]
    key = scope.shape.keys[0].fields
    firsts = (
        select(*(inner.column(name) for name in key))
        .distinct(*values)
        .where(inner.owned(), *_conditions(inner, page, travelled))
        .order_by(*values, *_sorted(inner, terms))
        .correlate_except(inner.entity)
    )
    return tuple_(*(scope.column(name) for name in key)).in_(firsts)
