"""The API's description in OpenAPI 3.1, made by flask-smorest without its hold on the host."""

from http import HTTPStatus
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Flask
from flask_smorest import Api as SmorestApi
from flask_smorest.spec.plugins import FlaskPlugin
from marshmallow import Schema
from werkzeug.routing import Rule

from ..schemas.fields import Timestamp
from ..schemas.problem import Problem
from .blueprint import Blueprint, described

_CONFIG_PREFIX = "PARLEY"
_ABOUT = """Durable, private, fast conversation history for LLM chat applications.

Every operation but those of health, metrics and docs works for the user that the bearer token
names: what belongs to somebody else answers as what does not exist. Errors are RFC 9457 problems.
"""
_PROBLEMS = {
    400: "Not JSON, or JSON that can't be stored: NUL, half of a surrogate pair, too deep",
    401: "No bearer token, or none that holds",
    404: "Absent, or somebody else's: there is no difference",
    409: "The same client id, or Idempotency-Key, came before with other content, or `revision` is "
    "not the current one",
    412: "The conversation is not in the state that If-Match names: `revision` is its state now",
    413: "The body, or one message in it, is too large",
    415: "The body is not application/json",
    422: "Fields are not valid: `errors` names each",
    429: "Too many requests, or answers at once, or today's quota is used up: `reset_at` says when",
    502: "The model failed. The question is stored; the members of the answer say where",
    503: "The conversation store is not available at the moment",
    504: "The model took too long. The question is stored; the members of the answer say where",
}
_HEADERS = {
    401: {"WWW-Authenticate": "Always Bearer"},
    429: {"Retry-After": "Seconds until trying again makes sense"},
    503: {"Retry-After": "Seconds until trying again makes sense"},
}


class Api(SmorestApi):  # type: ignore[misc]
    """Blueprints of ours under a prefix of an application, and what they offer, described.

    The application's error pages and commands stay as they are.
    """

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask, url_prefix: str, *, version: str) -> None:
        self._url_prefix = url_prefix
        options = _options(version) | {
            "flask_plugin": _Paths(url_prefix),
            "marshmallow_plugin": _Schemas(),
        }
        super().__init__(config_prefix=_CONFIG_PREFIX, spec_kwargs=options)
        self.register_field(Timestamp, "string", "date-time")
        self.init_app(app)

    def register_blueprint(self, blueprint: Blueprint, url_prefix: str | None = None) -> None:
        """Serves a blueprint, under another prefix than its own if one is given; describes it."""
        prefix = self._url_prefix + (url_prefix or blueprint.url_prefix or "")
        self._app.register_blueprint(blueprint, url_prefix=prefix or None)
        described = {"name": blueprint.name, "parameters": None}
        blueprint.register_views_in_doc(self, self._app, self.spec, **described)
        self.spec.tag({"name": blueprint.tag, "description": blueprint.description})

    def description(self, server: str) -> dict[str, Any]:
        """The OpenAPI document, for an API that is reached at `server`."""
        description: dict[str, Any] = self.spec.to_dict()
        return description | {"servers": [{"url": server}]}

    def _init_spec(self, **options: Any) -> None:
        commands = dict(self._app.cli.commands)
        super()._init_spec(**options)
        self._app.cli.commands = commands

    def _register_error_handlers(self) -> None:
        """Our blueprints have handlers of their own."""

    def _register_etag_headers(self) -> None:
        """Not flask-smorest's."""

    def _register_pagination_header(self) -> None:
        """Not flask-smorest's."""

    def _register_responses(self) -> None:
        for status, meaning in _PROBLEMS.items():
            content = {"application/problem+json": {"schema": Problem}}
            headers = described(**_HEADERS.get(status, {}))
            response = {"description": meaning, "headers": headers, "content": content}
            self.spec.components.response(HTTPStatus(status).name, response, lazy=True)


class _Converter(OpenAPIConverter):
    """Adds what a schema's Meta says in JSON Schema: rules that take more than one field.

    A schema with `any_of` there is nothing but a choice among others.
    """

    def schema2jsonschema(self, schema: Schema | type[Schema]) -> dict[str, Any]:
        if choice := getattr(schema.Meta, "any_of", ()):
            return {"anyOf": [self.resolve_nested_schema(each) for each in choice]}  # type: ignore[no-untyped-call]
        described: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return described | getattr(schema.Meta, "json_schema", {})


class _Schemas(MarshmallowPlugin):
    Converter = _Converter


class _Paths(FlaskPlugin):  # type: ignore[misc]
    """Paths as they are seen from the API's prefix, which the server's address holds."""

    def __init__(self, url_prefix: str) -> None:
        super().__init__()
        self._url_prefix = url_prefix

    def path_helper(self, rule: Rule, *args: Any, **kwargs: Any) -> str:
        path: str = super().path_helper(rule, *args, **kwargs)
        return path.removeprefix(self._url_prefix)


def _options(version: str) -> dict[str, Any]:
    bearer = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    return {
        "title": "Parley",
        "version": version,
        "openapi_version": "3.1.0",
        "info": {"description": _ABOUT},
        "components": {"securitySchemes": {"bearer": bearer}},
        "security": [{"bearer": []}],
    }
