"""What a view is given of a request, whether there is anything to read or not."""

import inspect
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path

import pytest
from flask import Request
from marshmallow import Schema, ValidationError, fields
from werkzeug.test import EnvironBuilder

from app.blueprints.arguments import StrictParser, reader
from app.blueprints.once import _Headers
from app.errors import InvalidFieldsError
from app.schemas import lists, search

SCHEMAS = Path(lists.__file__).parent


class Wanted(Schema):
    limit = fields.Integer(load_default=50)
    word = fields.String()


class Needed(Schema):
    q = fields.String(required=True)


def asked(query="", **headers):
    return Request(EnvironBuilder(query_string=query, headers=headers).get_environ())


def of_query(schema):
    return reader(StrictParser(), schema(), "query")


def query_schemas():
    modules = [import_module(f"app.schemas.{path.stem}") for path in SCHEMAS.glob("[a-z]*.py")]
    members = [member for module in modules for member in inspect.getmembers(module)]
    queries = {name: kind for name, kind in members if name.endswith("Query")}
    return queries | {"SearchRequest": search.SearchRequest}


def test_an_empty_query_is_what_the_schema_makes_of_nothing():
    assert of_query(Wanted)(asked()) == {"limit": 50}
    assert of_query(Wanted)(asked("limit=7")) == {"limit": 7}


def test_what_a_view_does_with_its_query_is_nothing_to_the_next_request():
    read = of_query(Wanted)
    read(asked()).clear()
    assert read(asked()) == {"limit": 50}


def test_a_short_query_is_read_once_and_a_long_one_each_time(monkeypatch):
    read, parsed = of_query(Wanted), []
    parse = StrictParser.parse
    monkeypatch.setattr(
        StrictParser, "parse", lambda *given, **named: parsed.append(1) or parse(*given, **named)
    )
    read = of_query(Wanted)
    for query in ("limit=7", "limit=7", "limit=8", f"word={'x' * 20}", f"word={'x' * 20}"):
        read(asked(query))
    assert len(parsed) == 4
    read(asked("limit=7")).clear()
    assert read(asked("limit=7")) == {"limit": 7}


def test_however_many_queries_there_are_each_is_answered_by_its_own(monkeypatch):
    monkeypatch.setattr("app.blueprints.arguments._MOST_KNOWN", 8)
    read = of_query(Wanted)

    def ask(start):
        return [read(asked(f"limit={n}"))["limit"] for n in range(start, start + 20)]

    with ThreadPoolExecutor(3) as threads:
        starts = (0, 100, 200)
        assert list(threads.map(ask, starts)) == [list(range(n, n + 20)) for n in starts]


@pytest.mark.parametrize("query", ["limit=x", "other=1", "=", "&limit", "limit=%00"])
def test_a_query_that_is_not_empty_is_read_to_the_letter(query):
    with pytest.raises(InvalidFieldsError):
        of_query(Wanted)(asked(query))


def test_an_empty_query_is_refused_where_something_is_needed():
    with pytest.raises(InvalidFieldsError) as refused:
        of_query(Needed)(asked())
    assert [fault.pointer for fault in refused.value.faults] == ["/q"]


def test_headers_are_read_when_one_of_the_schemas_is_there():
    read = reader(StrictParser(), _Headers(), "headers")
    assert read(asked()) is None
    assert read(asked(Accept="*/*")) is None
    with pytest.raises(InvalidFieldsError):
        read(asked(**{"idempotency-key": " "}))


def test_what_query_schemas_make_of_nothing_is_the_same_at_all_times_and_can_not_be_changed():
    found = query_schemas()
    assert len(found) >= 8
    for name, kind in found.items():
        try:
            nothing = kind().load({})
        except ValidationError:
            continue
        assert nothing == kind().load({}), name
        assert hash(tuple(nothing.values())) is not None, name
