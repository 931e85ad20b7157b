"""`include`: related records, one statement for a relation, however many records they belong to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ARRAY, Select, bindparam, cast, column, func, select, true
from sqlalchemy.orm import aliased
from sqlalchemy.orm.attributes import set_committed_value

from .paging import Page, order_of, select_page
from .query import Scope
from .words import Place, mapping, refuse_unknown

Include = Mapping[str, Any]
Key = tuple[Any, ...]
Fetch = Callable[[Any, Mapping[str, Any]], Sequence[Any]]

INCLUDE = Place("include")

_OF_ONE = frozenset({"where", "include"})
_OF_MANY = _OF_ONE | {"order_by", "take", "skip", "cursor", "distinct"}


@dataclass(frozen=True, slots=True, eq=False)
class Load:
    """A relation to include; its statement gives related records, each with its parent's number.

    `joined`: the attributes of the related records, each with the parents' that it must equal.
    """

    relation: str
    is_list: bool
    joined: Mapping[str, str]
    statement: Select[Any]
    inner: Sequence["Load"]

    def key_of(self, parent: object) -> Key:
        return tuple(getattr(parent, name) for name in self.joined.values())

    def values(self, keys: Sequence[Key]) -> dict[str, list[Any]]:
        columns = zip(*keys, strict=True)
        return {_bound(name): [*values] for name, values in zip(self.joined, columns, strict=True)}


def loads(scope: Scope, include: Include | None, place: Place = INCLUDE) -> list[Load]:
    """What `include` asks for: a relation with `True`, `False`, or a dict of words.

    The words of a list, `take` among them, are meant for each parent by itself.
    """
    return [
        _load(scope, name, wanted, place)
        for name, wanted in mapping(include or {}, place).items()
        if wanted is not False
    ]


def attach(parents: Sequence[Any], included: Sequence[Load], fetch: Fetch) -> None:
    """Gives each parent its related records, and these theirs. No parent, no statement."""
    for load in included:
        keys = list(
            dict.fromkeys(key for each in parents if None not in (key := load.key_of(each)))
        )
        rows = fetch(load.statement, load.values(keys)) if keys else []
        related: dict[Key, list[Any]] = {key: [] for key in keys}
        for record, number in rows:
            related[keys[number - 1]].append(record)
        for parent in parents:
            found = related.get(load.key_of(parent), [])
            set_committed_value(parent, load.relation, found if load.is_list else _only(found))
        attach([record for record, _number in rows], load.inner, fetch)


def _load(scope: Scope, name: str, wanted: object, place: Place) -> Load:
    refuse_unknown(name, place, scope.shape.relations)
    inside, is_list = place.into(name), bool(scope.shape.relations[name].uselist)
    words = {} if wanted is True else dict(mapping(wanted, inside))
    for word in words:
        refuse_unknown(word, inside, _OF_MANY if is_list else _OF_ONE)
    inner = loads(scope.related(name), words.pop("include", None), inside.at("include"))
    page = Page(**({"order_by": scope.shape.order_of(name)} | words), place=inside)
    statement = _of_each_parent(scope, name, page)
    return Load(name, is_list, scope.shape.joined(name), statement, inner)


def _of_each_parent(scope: Scope, name: str, page: Page) -> Select[Any]:
    """LATERAL: the page is selected anew for each parent, each time through an index."""
    related, joined = scope.related(name), scope.shape.joined(name)
    parents = _parents(related, list(joined))
    own = replace(related, within={far: parents.c[far] for far in joined})
    rows = select_page(own, page).correlate(parents).lateral()
    records = aliased(related.shape.model, rows)
    order = order_of(replace(related, entity=records), page)
    return (
        select(records, parents.c.number)
        .select_from(parents.join(rows, true()))
        .order_by(parents.c.number, *order)
    )


def _parents(related: Scope, names: Sequence[str]) -> Any:
    """The parents' keys as a table: an array for each column, its values bound when executed."""
    types = {name: related.shape.fields[name].type for name in names}
    arrays = [cast(bindparam(_bound(name)), ARRAY(type_)) for name, type_ in types.items()]
    columns = [column(name, type_) for name, type_ in types.items()]
    keys = func.unnest(*arrays).table_valued(*columns, with_ordinality="number")
    return keys.render_derived("parents")


def _bound(column_name: str) -> str:
    return f"parents_{column_name}"


def _only(found: Sequence[Any]) -> Any | None:
    return found[0] if found else None
