"""Idempotency-Key (draft-ietf-httpapi-idempotency-key-header): the same request, sent again."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from flask import request
from marshmallow import EXCLUDE, Schema, fields, post_load, validate

from ..json_text import dumps
from ..services.once import Once
from .arguments import whole_body
from .blueprint import Blueprint, View

# A string of structured fields (RFC 9651), or, as most clients send it, the same without quotes.
_KEY = r'^(?:"(?:[ !#-\[\]-~]|\\["\\]){1,255}"|[!#-~][ -~]{0,254})$'
_ESCAPED = re.compile(r'\\(["\\])')


class _Headers(Schema):
    class Meta:
        unknown = EXCLUDE

    key = fields.String(
        data_key="Idempotency-Key",
        validate=validate.Regexp(_KEY, error="must be 1 to 255 printable ASCII characters."),
        metadata={"description": "Sent again with it, the same request takes effect once."},
    )

    @post_load
    def once(self, headers: dict[str, str], **_: Any) -> Once | None:
        return _asked(headers["key"]) if headers else None


def keyed(blueprint: Blueprint) -> Callable[[View], View]:
    """Gives a view `once`: the request by its Idempotency-Key, None when it has none."""

    def decorate(view: View) -> View:
        takes = blueprint.arguments(_Headers, location="headers", arg_name="once")
        return blueprint.fails(409)(takes(view))

    return decorate


def with_client_id(body: dict[str, Any], once: Once | None) -> dict[str, Any]:
    """A question whose client_message_id is the request's key, if it has no other.

    No transaction may last as long as a model speaks: so the message itself takes effect once.
    """
    return {"client_message_id": once.client_message_id} | body if once else body


def _asked(header: str) -> Once:
    key = _ESCAPED.sub(r"\1", header[1:-1]) if header.startswith('"') else header
    named = dumps([request.method, request.path])
    return Once(key, sha256(named + whole_body(request)).digest())
