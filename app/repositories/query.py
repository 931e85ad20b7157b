"""`where` in Prisma Client Python's vocabulary, as SQLAlchemy expressions.

NULL is SQL's: what is not there is neither equal nor unequal to a value, and `not` leaves it out.
"""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, func, not_, or_, true, type_coerce
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import aliased

from .words import (
    JSON_KIND,
    Place,
    Shape,
    UniqueKey,
    fitting,
    kind_of,
    listed,
    mapping,
    misshapen,
    refuse_unknown,
)

Where = Mapping[str, Any]
Condition = ColumnElement[bool]

WHERE = Place("where")

_COMBINE = frozenset({"AND", "OR", "NOT"})
_EQUALITY = frozenset({"equals", "not"})
_LISTS = frozenset({"in", "not_in"})
_MODES = ("default", "insensitive")

_SAYS: Mapping[str, Callable[[Any, Any], Condition]] = {
    "equals": operator.eq,
    "not": operator.ne,
    "in": lambda column, values: column.in_(values),
    "not_in": lambda column, values: column.not_in(values),
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
    "contains": lambda column, text: column.contains(text, autoescape=True),
    "startswith": lambda column, text: column.startswith(text, autoescape=True),
    "endswith": lambda column, text: column.endswith(text, autoescape=True),
}
_SAYS_FOLDED: Mapping[str, Callable[[Any, Any], Condition]] = {
    "contains": lambda column, text: column.icontains(text, autoescape=True),
    "startswith": lambda column, text: column.istartswith(text, autoescape=True),
    "endswith": lambda column, text: column.iendswith(text, autoescape=True),
}
_SAYS_OF_LIST: Mapping[str, Callable[[Any, Any], Condition]] = {
    "equals": operator.eq,
    "has": lambda array, value: array.contains([value]),
    "has_every": lambda array, values: array.contains(values),
    "has_some": lambda array, values: array.overlap(values),
}


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """A model, or an alias of it, that a query reads on behalf of one owner.

    `within`: what else each of its rows must equal, by attribute; a parent's columns in `include`.
    """

    entity: Any
    shape: Shape
    owner: str
    within: Mapping[str, Any] = field(default_factory=dict)

    def column(self, name: str) -> Any:
        return getattr(self.entity, name)

    def owned(self) -> Condition:
        """The first wall: every statement has this for every table that it names."""
        is_own: Condition = self.column(self.shape.owner) == self.owner
        return and_(is_own, *(self.column(name) == value for name, value in self.within.items()))

    def again(self) -> "Scope":
        """The same model under another name, for a subquery."""
        return replace(self, entity=aliased(self.shape.model))

    def related(self, relation: str) -> "Scope":
        shape = self.shape.related(relation)
        return Scope(shape.model, shape, self.owner)


def condition(scope: Scope, where: Where | None, place: Place = WHERE) -> Condition:
    """What `where` says of a row; nothing says all rows. The owner is not part of it."""
    terms = [
        _said(scope, name, value, place) for name, value in mapping(where or {}, place).items()
    ]
    return and_(true(), *terms)


def unique(scope: Scope, where: Where, place: Place = WHERE) -> tuple[UniqueKey, Condition]:
    """The unique key that `where` names, and what it says of the one row."""
    key = scope.shape.key_named(mapping(where, place), place, scope.within)
    terms = [_is_exactly(scope, key, name, value, place.at(name)) for name, value in where.items()]
    return key, and_(*terms, *([] if key.predicate is None else [key.predicate]))


def _is_exactly(scope: Scope, key: UniqueKey, name: str, value: object, place: Place) -> Condition:
    column = scope.column(name)
    is_none = value is None and key.takes_none
    return _SAYS["equals"](column, None if is_none else fitting(value, column.type, place))


def _said(scope: Scope, name: str, value: object, place: Place) -> Condition:
    shape = scope.shape
    refuse_unknown(name, place, _COMBINE | shape.fields.keys() | shape.relations.keys())
    if name in _COMBINE:
        return _combined(scope, name, value, place.into(name))
    if name in shape.relations:
        return _related(scope, name, value, place.at(name))
    return _field(scope.column(name), value, place.at(name))


def _combined(scope: Scope, word: str, value: object, place: Place) -> Condition:
    """NOT of a dict: not all of it holds. NOT of a list: none of them holds."""
    if isinstance(value, list | tuple):
        terms = [condition(scope, mapping(w, place), place.item(n)) for n, w in enumerate(value)]
    else:
        terms = [condition(scope, mapping(value, place), place)]
    if word == "OR":
        return or_(not_(true()), *terms)
    return and_(true(), *(terms if word == "AND" else map(not_, terms)))


def _related(scope: Scope, name: str, value: object, place: Place) -> Condition:
    known = ("some", "none", "every") if scope.shape.relations[name].uselist else ("is", "is_not")
    words = mapping(value, place)
    if not words:
        raise misshapen(place, f"one of {', '.join(known)}")
    for word in words:
        refuse_unknown(word, place, known)
    return and_(*(_relation(scope, name, w, inner, place.into(w)) for w, inner in words.items()))


def _relation(scope: Scope, name: str, word: str, value: object, place: Place) -> Condition:
    """`every`: no related row for which the filter is false or NULL."""
    related = scope.related(name).again()
    relation = scope.column(name).of_type(related.entity)
    exists = relation.any if word in ("some", "none", "every") else relation.has
    if value is None and word in ("is", "is_not"):
        word = "is_not" if word == "is" else "is"
        value = {}
    holds = condition(related, mapping(value, place), place)
    if word == "every":
        holds = holds.is_not(true())
    found: Condition = exists(and_(related.owned(), holds))
    return found if word in ("some", "is") else not_(found)


def _field(column: Any, value: object, place: Place) -> Condition:
    if isinstance(value, Mapping):
        return _words(column, value, place)
    return _words(column, {"equals": value}, place)


def _words(column: Any, words: Where, place: Place) -> Condition:
    known = kind_of(column.type).filters
    for word in words:
        refuse_unknown(word, place, known)
    said = {word: value for word, value in words.items() if word != "mode"}
    if not said:
        raise misshapen(place, f"at least one of {', '.join(sorted(known - {'mode'}))}")
    mode = words.get("mode", "default")
    refuse_unknown(mode, place.at("mode"), _MODES)
    say = _say_of_list if "has" in known else _say_folded if mode == "insensitive" else _say
    return and_(*(say(column, word, value, place) for word, value in said.items()))


def _say(column: Any, word: str, value: object, place: Place) -> Condition:
    if _is_nested(column, word, value):
        return not_(_words(column, mapping(value, place), place.into(word)))
    if value is None and word in _EQUALITY:
        return _SAYS[word](column, None)
    return _SAYS[word](column, _taken(column, word, value, place.at(word)))


def _say_folded(column: Any, word: str, value: object, place: Place) -> Condition:
    if _is_nested(column, word, value):
        words = {"mode": "insensitive", **mapping(value, place)}
        return not_(_words(column, words, place.into(word)))
    if value is None and word in _EQUALITY:
        return _SAYS[word](column, None)
    taken = _taken(column, word, value, place.at(word))
    if word in _SAYS_FOLDED:
        return _SAYS_FOLDED[word](column, taken)
    folded = [func.lower(one) for one in taken] if word in _LISTS else func.lower(taken)
    return _SAYS[word](func.lower(column), folded)


def _is_nested(column: Any, word: str, value: object) -> bool:
    is_value = kind_of(column.type) is JSON_KIND
    return word == "not" and isinstance(value, Mapping) and not is_value


def _taken(column: Any, word: str, value: object, place: Place) -> Any:
    return (listed if word in _LISTS else fitting)(value, column.type, place)


def _say_of_list(column: Any, word: str, value: object, place: Place) -> Condition:
    item, place = column.type.item_type, place.at(word)
    if word == "is_empty":
        return _is_empty(column, value, place)
    if word == "equals" and value is None:
        return _SAYS[word](column, None)
    taken = fitting(value, item, place) if word == "has" else listed(value, item, place)
    return _SAYS_OF_LIST[word](type_coerce(column, postgresql.ARRAY(item)), taken)


def _is_empty(column: Any, value: object, place: Place) -> Condition:
    if not isinstance(value, bool):
        raise misshapen(place, "True or False")
    return (func.cardinality(column) == 0) == value
