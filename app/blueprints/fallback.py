"""Whatever is not there, or not in this way: 404 and 405 in the API's own words, and OPTIONS.

Within a host, a method that HTTP's own documents do not know (PURGE, say) stays the host's 405.
"""

from flask import Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from .blueprint import Blueprint
from .errors import http_problem

METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]

blueprint = Blueprint("fallback", url_prefix="", description="", is_public=True)


@blueprint.route("/", methods=METHODS, endpoint="root", strict_slashes=False)
@blueprint.route("/<path:_unknown>", methods=METHODS, endpoint="unknown")
def refuse(_unknown: object = "") -> Response | HTTPException:
    """Answers for a path that nothing serves, or not by this method"""
    allowed = [method for method in METHODS if _is_served(method)]
    if not allowed:
        return http_problem(NotFound())
    allowed.append("OPTIONS")
    if request.method == "OPTIONS":
        return Response(status=204, headers={"Allow": ", ".join(sorted(allowed))})
    return http_problem(MethodNotAllowed(allowed))


def _is_served(method: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    endpoint, _ = adapter.match(method=method) if adapter else ("", {})
    return not str(endpoint).startswith(f"{blueprint.name}.")
