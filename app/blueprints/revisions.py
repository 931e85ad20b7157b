"""Revisions in HTTP: ETag, If-None-Match, If-Match (RFC 9110), and `revision` in the body."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, request

from ..revisions import Expected, Revision
from .blueprint import described
from .current import owner, services

ETAG = described(ETag="The conversation's state: for If-Match, and If-None-Match.")
NOT_MODIFIED = {"description": "Nothing has changed since If-None-Match", "headers": ETAG}


def tagged(response: Response, revision: Revision) -> Response:
    """The answer with the ETag of the conversation's state."""
    response.headers["ETag"] = f'"{revision.tag}"'
    return response


def expected(number: int | None = None) -> Expected:
    """What the request wants to write upon: If-Match's tags, and a revision's number."""
    named = request.if_match
    if not named or named.star_tag:
        return Expected(number)
    # A proxy that compresses makes tags weak: it changes nothing about the state they name.
    return Expected(number, frozenset(named.as_set(include_weak=True)))


def unless_known(view: Callable[..., Response]) -> Callable[..., Response]:
    """Answers 304 when If-None-Match names the conversation's state already.

    A message that is asked for must be there all the same.
    """

    @wraps(view)
    def answer(*args: Any, conversation_id: str, **kwargs: Any) -> Response:
        if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match:
            revision = _state(conversation_id, **kwargs)
            if request.if_none_match.contains_weak(revision.tag):
                return tagged(Response(status=304), revision)
        return view(*args, conversation_id=conversation_id, **kwargs)

    return answer


def _state(conversation_id: str, message_id: str | None = None) -> Revision:
    if message_id is None:
        return services.conversations.revision(owner(), conversation_id)
    return services.tree.find(owner(), conversation_id, message_id).revision
