"""`data` in Prisma Client Python's vocabulary: the values that a row gets or that change it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import ClauseElement, func, literal, literal_column, null
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import RelationshipDirection

from ..errors import UnknownWordError
from .query import Scope
from .words import JSON_KIND, Place, fitting, kind_of, listed, mapping, misshapen, refuse_unknown

Data = Mapping[str, Any]
Values = dict[str, Any]
Change = Callable[[Any, object, Place], Any]

DATA = Place("data")


def created(scope: Scope, data: Data, place: Place = DATA) -> Values:
    """The values of a new row by attribute, its owner among them; `set` and `connect` are known."""
    return _values(scope, data, place, is_new=True) | {scope.shape.owner: scope.owner}


def changed(scope: Scope, data: Data, place: Place = DATA) -> Values:
    """The new values of a row by attribute; `increment`, `push` and their like need the old."""
    return _values(scope, data, place, is_new=False)


def defaults(scope: Scope, names: Iterable[str]) -> Values:
    """What the attributes are in a new row that does not say."""
    return {name: _default(scope.shape.fields[name]) for name in names}


def _default(column: Any) -> Any:
    if column.default is None:
        return literal_column("DEFAULT")
    return column.default.arg(None) if column.default.is_callable else column.default.arg


def is_same(one: object, other: object) -> bool:
    """Whether two values of a row are one; SQL expressions are not compared but by identity."""
    is_sql = isinstance(one, ClauseElement) or isinstance(other, ClauseElement)
    return one is other or (not is_sql and one == other)


def _values(scope: Scope, data: Data, place: Place, *, is_new: bool) -> Values:
    values: Values = {}
    for name, value in mapping(data, place).items():
        refuse_unknown(name, place, scope.shape.fields.keys() | _connectable(scope))
        for field, said in _assigned(scope, name, value, place.at(name), is_new=is_new).items():
            if not is_same(values.setdefault(field, said), said):
                raise misshapen(place.at(field), "one value, not two")
    _check_owner(scope, values, place)
    return values


def _assigned(scope: Scope, name: str, value: object, place: Place, *, is_new: bool) -> Values:
    if name in scope.shape.relations:
        return _connected(scope, name, value, place, is_new=is_new)
    return {name: (_first if is_new else _next)(scope.column(name), value, place)}


def _check_owner(scope: Scope, values: Values, place: Place) -> None:
    owner = scope.shape.owner
    given = values.get(owner, scope.owner)
    if not isinstance(given, str) or given != scope.owner:
        raise UnknownWordError(f"{place.at(owner)} names another owner than the session's.")


def _first(column: Any, value: object, place: Place) -> Any:
    if not _is_words(column, value):
        return _held(column, value, place)
    word, operand = _one_word(value, place, {"set"})
    return _held(column, operand, place.at(word))


def _next(column: Any, value: object, place: Place) -> Any:
    if not _is_words(column, value):
        return _held(column, value, place)
    word, operand = _one_word(value, place, kind_of(column.type).changes)
    return _CHANGES[word](column, operand, place.at(word))


def _is_words(column: Any, value: object) -> bool:
    return isinstance(value, Mapping) and kind_of(column.type) is not JSON_KIND


def _one_word(words: object, place: Place, known: set[str] | frozenset[str]) -> tuple[str, object]:
    words = mapping(words, place)
    for word in words:
        refuse_unknown(word, place, known)
    if len(words) != 1:
        raise misshapen(place, f"a value or exactly one of {', '.join(sorted(known))}")
    ((word, operand),) = words.items()
    return word, operand


def _held(column: Any, value: object, place: Place) -> Any:
    """None is NULL, in a JSON column too."""
    return null() if value is None else fitting(value, column.type, place)


def _incremented(column: Any, value: object, place: Place) -> Any:
    return column + fitting(value, column.type, place)


def _decremented(column: Any, value: object, place: Place) -> Any:
    return column - fitting(value, column.type, place)


def _multiplied(column: Any, value: object, place: Place) -> Any:
    return column * fitting(value, column.type, place)


def _divided(column: Any, value: object, place: Place) -> Any:
    """As PostgreSQL divides: what is left of whole numbers is dropped."""
    divisor = fitting(value, column.type, place)
    if divisor == 0:
        raise misshapen(place, "a number that is not 0")
    return column.op("/")(divisor)


def _pushed(column: Any, value: object, place: Place) -> Any:
    item = column.type.item_type
    is_list = isinstance(value, list | tuple)
    items = listed(value, item, place) if is_list else [fitting(value, item, place)]
    return func.array_cat(column, literal(items, postgresql.ARRAY(item)))


_CHANGES: Mapping[str, Change] = {
    "set": _held,
    "increment": _incremented,
    "decrement": _decremented,
    "multiply": _multiplied,
    "divide": _divided,
    "push": _pushed,
}


def _connectable(scope: Scope) -> set[str]:
    relations = scope.shape.relations.items()
    return {n for n, prop in relations if prop.direction is RelationshipDirection.MANYTOONE}


def _connected(scope: Scope, name: str, words: object, place: Place, *, is_new: bool) -> Values:
    """The foreign key's columns. A row of somebody else fails that key: it leads to the owner.

    What both rows call alike, the owner or the conversation, need not be said.
    """
    joined = scope.shape.joined(name)
    own = {far: near for far, near in joined.items() if near not in (far, scope.shape.owner)}
    is_optional = own and all(scope.shape.fields[near].nullable for near in own.values())
    known = {"connect", "disconnect"} if is_optional and not is_new else {"connect"}
    word, target = _one_word(words, place, known)
    if word == "connect":
        return _key_of(scope, name, target, place.at(word), own or joined)
    if target is not True:
        raise misshapen(place.at(word), "True")
    return {near: null() for near in own.values()}


def _key_of(
    scope: Scope, name: str, target: object, place: Place, required: Iterable[str]
) -> Values:
    joined, related = scope.shape.joined(name), scope.related(name).shape
    given = mapping(target, place)
    for key in given:
        refuse_unknown(key, place, joined)
    if missing := set(required) - given.keys():
        raise misshapen(place, f"{', '.join(sorted(missing))} as well")
    return {
        joined[key]: fitting(value, related.fields[key].type, place.at(key))
        for key, value in given.items()
    }
