"""What the repositories' vocabulary is made of: places, models as it sees them, kinds of values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    String,
    Table,
    UniqueConstraint,
    Uuid,
    inspect,
)
from sqlalchemy.orm import Mapper, RelationshipProperty
from sqlalchemy.types import TypeEngine

from ..database import Base
from ..errors import SetupError, UnknownWordError

MAX_DEPTH = 32
OWNER_COLUMN = "user_email"


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a query something stands, as in `where.AND[0].title`."""

    path: str
    depth: int = 0

    def __str__(self) -> str:
        return self.path

    def at(self, word: object) -> "Place":
        return Place(f"{self.path}.{word}", self.depth)

    def item(self, index: int) -> "Place":
        return Place(f"{self.path}[{index}]", self.depth)

    def into(self, word: str) -> "Place":
        """One level deeper; UnknownWordError past the 32nd."""
        if self.depth == MAX_DEPTH:
            raise UnknownWordError(f"{self.path} is nested deeper than {MAX_DEPTH} levels.")
        return Place(f"{self.path}.{word}", self.depth + 1)


def refuse_unknown(word: object, place: Place, known: Collection[str]) -> None:
    """UnknownWordError unless `word` is a known one."""
    if word not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise UnknownWordError(f"Unknown word {word!r:.100} in {place}; known are: {listed}.")


def misshapen(place: Place, wanted: str) -> UnknownWordError:
    """The error for a known word with something that it does not take."""
    return UnknownWordError(f"{place} takes {wanted}.")


def mapping(words: object, place: Place) -> Mapping[Any, Any]:
    """`words`, which must be a dict."""
    if not isinstance(words, Mapping):
        raise misshapen(place, f"a dict of words, not {_type_name(words)}")
    return words


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of column: the Python types of its values, and the words that it understands."""

    values: tuple[type, ...]
    filters: frozenset[str]
    changes: frozenset[str] = frozenset({"set"})


_EQUALITY = frozenset({"equals", "not"})
_MEMBERSHIP = _EQUALITY | {"in", "not_in"}
_ORDER = _MEMBERSHIP | {"lt", "lte", "gt", "gte"}
_TEXT = _ORDER | {"contains", "startswith", "endswith", "mode"}
_LIST = frozenset({"equals", "has", "has_every", "has_some", "is_empty"})
_NUMBER_CHANGES = frozenset({"set", "increment", "decrement", "multiply", "divide"})

# A dict is a JSON column's value, never words about it, so that nothing stored is misread.
JSON_KIND = Kind((object,), _EQUALITY, frozenset())
OTHER_KIND = Kind((object,), _EQUALITY)
_KINDS: Mapping[type[TypeEngine[Any]], Kind] = {
    Boolean: Kind((bool,), _EQUALITY),
    Integer: Kind((int,), _ORDER, _NUMBER_CHANGES),
    Numeric: Kind((int, float, Decimal), _ORDER, _NUMBER_CHANGES),
    DateTime: Kind((datetime,), _ORDER),
    Uuid: Kind((UUID,), _ORDER),
    String: Kind((str,), _TEXT),
    LargeBinary: Kind((bytes,), _MEMBERSHIP),
    ARRAY: Kind((list, tuple), _LIST, frozenset({"set", "push"})),
    JSON: JSON_KIND,
}


def kind_of(type_: TypeEngine[Any]) -> Kind:
    found = (kind for class_, kind in _KINDS.items() if isinstance(type_, class_))
    return next(found, OTHER_KIND)


def fitting(value: object, type_: TypeEngine[Any], place: Place) -> Any:
    """`value`, which must be one that a column of `type_` can hold, and not None."""
    kind = kind_of(type_)
    is_odd_bool = isinstance(value, bool) and int in kind.values
    if value is None or is_odd_bool or not isinstance(value, kind.values):
        wanted = " or ".join(class_.__name__ for class_ in kind.values)
        raise misshapen(place, f"a value ({wanted}), not {_type_name(value)}")
    return listed(value, type_.item_type, place) if isinstance(type_, ARRAY) else value


def listed(values: object, type_: TypeEngine[Any], place: Place) -> list[Any]:
    """`values`, which must be a list (tuple, set) of values that fit `type_`."""
    if not isinstance(values, list | tuple | set | frozenset):
        raise misshapen(place, f"a list of values, not {_type_name(values)}")
    return [fitting(value, type_, place.item(n)) for n, value in enumerate(values)]


def _type_name(value: object) -> str:
    return type(value).__name__


@dataclass(frozen=True, slots=True)
class UniqueKey:
    """Attributes that together name at most one row, where `predicate` holds.

    `is_total`: every row has a key of its own. `takes_none`: None is a value as any other.
    """

    fields: tuple[str, ...]
    is_total: bool
    takes_none: bool = False
    predicate: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """A model as the vocabulary sees it; names are the model's attributes."""

    model: type[Base]
    owner: str
    fields: Mapping[str, Column[Any]]
    relations: Mapping[str, RelationshipProperty[Any]]
    keys: Sequence[UniqueKey] = field(default=())

    def related(self, relation: str) -> "Shape":
        """The other end of a relation, whose join must carry the owner across."""
        prop = self.relations[relation]
        model: type[Base] = prop.mapper.class_
        owner = dict(prop.local_remote_pairs or ()).get(self.fields[self.owner])
        if owner is None:
            raise SetupError(f"{prop} does not join on the owner.")
        return shape_of(model, prop.mapper.get_property_by_column(owner).key)

    def joined(self, relation: str) -> Mapping[str, str]:
        """The related model's attributes, each with the one of this model that it must equal."""
        prop = self.relations[relation]
        return {
            prop.mapper.get_property_by_column(far).key: prop.parent.get_property_by_column(
                near
            ).key
            for near, far in prop.local_remote_pairs or ()
        }

    def order_of(self, relation: str) -> list[dict[str, str]]:
        """The order in which related records come when no other is asked for."""
        prop = self.relations[relation]
        columns: Any = prop.order_by or ()
        return [{prop.mapper.get_property_by_column(column).key: "asc"} for column in columns]

    def key_named(
        self, names: Collection[str], place: Place, given: Collection[str] = ()
    ) -> UniqueKey:
        """The unique key that `names` make up, left out or not what is `given` and the owner."""
        for name in names:
            refuse_unknown(name, place, self.fields)
        implied = {self.owner, *given}
        for key in self.keys:
            if names and implied.union(names) == implied.union(key.fields):
                return key
        known = ", ".join(f"({', '.join(key.fields)})" for key in self.keys)
        raise UnknownWordError(
            f"{', '.join(names) or 'Nothing'} in {place} is no unique key; known are: {known}."
        )


@cache
def shape_of(model: type[Base], owner: str = OWNER_COLUMN) -> Shape:
    mapper = inspect(model)
    fields = {prop.key: prop.columns[0] for prop in mapper.column_attrs}
    if owner not in fields:
        raise SetupError(f"{model.__name__} has no column {owner}, which would name its owner.")
    relations = {prop.key: prop for prop in mapper.relationships}
    return Shape(model, owner, fields, relations, _keys(mapper))  # type: ignore[arg-type]


def _keys(mapper: Mapper[Any]) -> tuple[UniqueKey, ...]:
    """Shortest first, the primary key before others: the first match asks for the least."""
    table = cast(Table, mapper.local_table)
    constraints = [_key(mapper, c) for c in table.constraints if isinstance(c, UniqueConstraint)]
    unique = [i for i in table.indexes if i.unique and len(i.columns) == len(i.expressions)]
    keys = [*constraints, *(_key(mapper, index) for index in unique)]
    primary = UniqueKey(_names(mapper, table.primary_key.columns), is_total=True)
    return (primary, *sorted(keys, key=lambda key: (len(key.fields), key.fields)))


def _key(mapper: Mapper[Any], source: UniqueConstraint | Index) -> UniqueKey:
    options = source.dialect_options["postgresql"]
    predicate = options.get("where")
    takes_none = bool(options.get("nulls_not_distinct"))
    is_total = predicate is None and (
        takes_none or not any(column.nullable for column in source.columns)
    )
    names = _names(mapper, source.columns)
    return UniqueKey(names, is_total=is_total, takes_none=takes_none, predicate=predicate)


def _names(mapper: Mapper[Any], columns: Any) -> tuple[str, ...]:
    return tuple(mapper.get_property_by_column(column).key for column in columns)
