"""Whatever is not there, or not in this way: 404 and 405 in the API's own words."""

from typing import NoReturn

from flask import current_app, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from .blueprint import Blueprint

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]

blueprint = Blueprint("parley_fallback", url_prefix="", description="", is_public=True)


@blueprint.route("/", methods=METHODS, endpoint="root")
@blueprint.route("/<path:_unknown>", methods=METHODS, endpoint="unknown")
@blueprint.doc(hidden=True)
def refuse(_unknown: str = "") -> NoReturn:
    allowed = [method for method in METHODS if _is_served(method)]
    raise MethodNotAllowed(allowed) if allowed else NotFound


def _is_served(method: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    endpoint, _ = adapter.match(method=method) if adapter else ("", {})
    return not str(endpoint).startswith(f"{blueprint.name}.")
