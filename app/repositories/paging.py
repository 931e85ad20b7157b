"""`order_by`, `cursor`, `take`, `skip` and `distinct`: which rows of a result, in what order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, or_, select, true, tuple_

from .query import Condition, Scope, Where, condition, unique
from .words import Place, Shape, UniqueKey, mapping, misshapen, refuse_unknown

OrderBy = Mapping[str, str] | Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A negative `take` counts from the end; the order stays. `cursor` is the first row itself."""

    where: Where | None = None
    order_by: OrderBy | None = None
    take: int | None = None
    skip: int = 0
    cursor: Where | None = None
    distinct: Sequence[str] | None = None

    @property
    def is_from_end(self) -> bool:
        return self.take is not None and self.take < 0


@dataclass(frozen=True, slots=True)
class _Term:
    field: str
    is_descending: bool


def select_page(scope: Scope, page: Page) -> Select[Any]:
    """The rows of a page; in reverse when it is from the end."""
    _check_counts(page)
    terms = _terms(scope.shape, page.order_by)
    travelled = [replace(t, is_descending=t.is_descending != page.is_from_end) for t in terms]
    statement = select(scope.entity).where(scope.owned())
    if page.distinct:
        statement = statement.where(_is_first(scope, page, terms, travelled))
    else:
        statement = statement.where(*_conditions(scope, page, travelled))
    statement = statement.order_by(*_sorted(scope, travelled)).offset(page.skip or None)
    return statement if page.take is None else statement.limit(abs(page.take))


def _check_counts(page: Page) -> None:
    for name, count in (("take", page.take or 0), ("skip", page.skip)):
        if not isinstance(count, int) or isinstance(count, bool):
            raise misshapen(Place(name), f"a whole number, not {type(count).__name__}")
    if page.skip < 0:
        raise misshapen(Place("skip"), "a number that is not negative")


def _conditions(scope: Scope, page: Page, travelled: Sequence[_Term]) -> list[Condition]:
    from_cursor = [] if page.cursor is None else [_from_cursor(scope, page.cursor, travelled)]
    return [condition(scope, page.where), *from_cursor]


def _terms(shape: Shape, order_by: OrderBy | None) -> list[_Term]:
    """The asked order, and what makes it one in which no two rows are equal."""
    place = Place("order_by")
    asked = [] if order_by is None else [order_by] if isinstance(order_by, Mapping) else order_by
    if not isinstance(asked, list | tuple):
        raise misshapen(place, "a dict of one field and its direction, or a list of them")
    terms = [_term(shape, words, place.item(n)) for n, words in enumerate(asked)]
    named = {term.field for term in terms}
    is_descending = bool(terms) and terms[-1].is_descending
    rest = [name for name in _tiebreaker(shape, named).fields if name not in {*named, shape.owner}]
    return [*terms, *(_Term(name, is_descending) for name in rest)]


def _tiebreaker(shape: Shape, named: set[str]) -> UniqueKey:
    """The key that needs the fewest columns more, the primary key before others."""
    total = [key for key in shape.keys if key.is_total]
    return min(total, key=lambda key: len({*key.fields} - named - {shape.owner}))


def _term(shape: Shape, words: object, place: Place) -> _Term:
    named = mapping(words, place)
    if len(named) != 1:
        raise misshapen(place, "exactly one field and its direction")
    ((name, direction),) = named.items()
    refuse_unknown(name, place, shape.fields)
    refuse_unknown(direction, place.at(name), ("asc", "desc"))
    return _Term(name, direction == "desc")


def _sorted(scope: Scope, terms: Sequence[_Term]) -> list[ColumnElement[Any]]:
    columns = [(scope.column(term.field), term) for term in terms]
    return [column.desc() if term.is_descending else column.asc() for column, term in columns]


def _from_cursor(scope: Scope, cursor: Where, terms: Sequence[_Term]) -> Condition:
    """The row that `cursor` names and those after it; nothing when the owner has no such row."""
    mark = scope.again()
    _key, is_mark = unique(mark, cursor, Place("cursor"))
    columns = [scope.column(term.field) for term in terms]
    marks = [mark.column(term.field) for term in terms]
    if _is_uniform(scope.shape, terms):
        # A row comparison with a subquery can start in the middle of an index.
        start: Any = select(*marks).where(mark.owned(), is_mark).scalar_subquery()
        row: Any = tuple_(*columns)
        return row <= start if terms[0].is_descending else row >= start  # type: ignore[no-any-return]
    after = _not_before(columns, marks, terms, scope.shape)
    return select(true()).where(mark.owned(), is_mark, after).exists()


def _is_uniform(shape: Shape, terms: Sequence[_Term]) -> bool:
    directions = {term.is_descending for term in terms}
    return len(directions) == 1 and not any(shape.fields[t.field].nullable for t in terms)


def _not_before(
    columns: Sequence[Any], marks: Sequence[Any], terms: Sequence[_Term], shape: Shape
) -> Condition:
    """Whether a row stands at the mark or after it, column by column.

    As PostgreSQL sorts, NULL is greater than every value.
    """
    holds: Condition = true()
    for column, mark, term in reversed(list(zip(columns, marks, terms, strict=True))):
        low, high = (column, mark) if term.is_descending else (mark, column)
        if shape.fields[term.field].nullable:
            is_after = or_(low < high, and_(low.is_not(None), high.is_(None)))
        else:
            is_after = low < high
        holds = or_(is_after, and_(column.is_not_distinct_from(mark), holds))
    return holds


def _is_first(
    scope: Scope, page: Page, terms: Sequence[_Term], travelled: Sequence[_Term]
) -> Condition:
    """Whether a row is, in the page's order, the first with its values of `distinct`."""
    inner, place = scope.again(), Place("distinct")
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
    )
    return tuple_(*(scope.column(name) for name in key)).in_(firsts)
