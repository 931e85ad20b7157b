"""/search: what was said, found again."""

from typing import Any

from flask import Response

from ..schemas.search import SearchAnswer, SearchRequest
from .blueprint import LONG_ADDRESS, NEXT, Blueprint, json_response, page_link
from .current import owner, services

blueprint = Blueprint("search", url_prefix="/search", description="Own messages and titles")


@blueprint.get("")
@blueprint.arguments(SearchRequest, location="query")
@blueprint.response(200, SearchAnswer, headers=NEXT)
@blueprint.alt_response(414, **LONG_ADDRESS)
def search(query: dict[str, Any]) -> Response:
    """Own messages and titles that fit, best first"""
    page = services.search.search(owner(), **query)
    headers = page_link(cursor=page.next_cursor) if page.next_cursor else None
    return json_response(SearchAnswer().dump(page), headers=headers)
